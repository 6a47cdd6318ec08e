"""How the GeMMs of a run get their tilings: by search, one tile for a whole model, or a tile that the user gives."""

from dataclasses import dataclass
from typing import Literal, Self, get_args

from ...formats import InputError

Resident = Literal["activations", "weights", "nothing"]
"""The operand that stays on chip while the other one streams past it."""


@dataclass(frozen=True, slots=True)
class TilingRule:
    """How each GeMM gets its tiling.

    Attributes
    ----------
    kind
        ``search``: the best legal tiling of each GeMM. ``model``: one token tile for all GeMMs of a model
        (`tiling.model_tilings`). ``activations``, ``weights`` or ``nothing``: the operand that stays on chip.
    size
        Tile of the operand that stays, in tokens or output channels; None for the other kinds.
    """

    kind: Literal["search", "model"] | Resident = "search"
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``search``, ``model``, ``activations:TOKENS``, ``weights:CHANNELS`` or ``nothing``.

        >>> TilingRule.parse("activations:32")
        TilingRule(kind='activations', size=32)

        Raises
        ------
        InputError
            The text has another form.
        """
        if text == "search" or text == "model":
            return cls(text)
        resident, _, number = text.partition(":")
        if resident not in get_args(Resident) or number.isdecimal() == (resident == "nothing"):
            raise InputError(
                f"tiling: {text!r} is unknown; use search, model, activations:TOKENS, weights:CHANNELS or nothing"
            )
        return cls(resident, int(number) if number else None)  # pyright: ignore[reportArgumentType]

    def __str__(self) -> str:
        return self.kind if self.size is None else f"{self.kind}:{self.size}"

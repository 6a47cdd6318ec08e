"""How the GeMMs of a run get their mappings: by search, by a rule, or the mapping that the user gives."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from ...formats import InputError
from .gemm_mapping import FORM, GemmMapping, Stays

Rule = Literal["best", "double-buffered", "model"]
"""Rules that give every GeMM its mapping."""

RULES: dict[str, Rule] = {"best": "best", "double-buffered": "double-buffered", "model": "model"}
SHORT = re.compile(r"(activations|weights):(\d+)|nothing", re.ASCII)


@dataclass(frozen=True, slots=True)
class MappingRule:
    """How each GeMM gets its mapping.

    Attributes
    ----------
    kind
        ``best``: the optimum of all legal mappings of each GeMM. ``double-buffered``: the best of its largest double-buffered
        tiles, with sums in the array. ``model``: one token tile for all GeMMs of a model (`resident.model_mappings`).
        ``activations``, ``weights`` or ``nothing``: what stays on chip, with sums in the array. ``given``: a mapping.
    size
        Tile of the operand that stays, in tokens or output channels; None for the other kinds.
    mapping
        The mapping itself, if it is given.
    """

    kind: Rule | Stays | Literal["given"] = "best"
    size: int | None = None
    mapping: GemmMapping | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule, ``activations:TOKENS``, ``weights:CHANNELS``, ``nothing``, or the text of a `GemmMapping`.

        >>> MappingRule.parse("activations:32")
        MappingRule(kind='activations', size=32, mapping=None)

        Raises
        ------
        InputError
            The text has another form.
        """
        if text in RULES:
            return cls(RULES[text])
        if found := SHORT.fullmatch(text):
            stays, size = found.groups()
            return cls(stays or "nothing", int(size) if size else None)  # pyright: ignore[reportArgumentType]
        if text.count("x") == 2:
            return cls("given", None, GemmMapping.parse(text))
        raise InputError(
            f"mapping: {text!r} is unknown; use {', '.join(RULES)}, activations:TOKENS, weights:CHANNELS, nothing or {FORM}"
        )

    def __str__(self) -> str:
        if self.mapping is not None:
            return str(self.mapping)
        return self.kind if self.size is None else f"{self.kind}:{self.size}"

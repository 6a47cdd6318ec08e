"""How the GeMMs of a run get their mappings: by search, by a rule, or the mapping that the user gives."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from ...formats import InputError
from ...workloads import MODULES
from .gemm_mapping import FORM, GemmMapping, Stays

Rule = Literal["best", "double-buffered", "model"]
"""Rules that give every GeMM its mapping."""

RULES: dict[str, Rule] = {"best": "best", "double-buffered": "double-buffered", "model": "model"}
SHORT = re.compile(r"(activations|weights):(\d+)|nothing", re.ASCII)


@dataclass(frozen=True, slots=True)
class MappingRule:
    """Rule by which each GeMM gets its mapping.

    Attributes
    ----------
    kind
        ``best``: the optimum of all legal mappings of each GeMM. ``double-buffered``: the best of its largest double-buffered
        tiles, with sums in the array. ``model``: one token tile for all GeMMs of a model (`resident.model_mappings`).
        ``activations``, ``weights`` or ``nothing``: what stays on chip, with sums in the array. ``given``: a mapping.
        ``modules``: a rule of its own for each module of a model.
    size
        Tile of the operand that stays, in tokens or output channels; None for the other kinds.
    mapping
        The mapping itself, if it is given.
    modules
        Modules and their rules; the others take the best.
    """

    kind: Rule | Stays | Literal["given", "modules"] = "best"
    size: int | None = None
    mapping: GemmMapping | None = None
    modules: "tuple[tuple[str, MappingRule], ...]" = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule, ``activations:TOKENS``, ``weights:CHANNELS``, ``nothing``, or the text of a `GemmMapping`.

        Or one of these for some modules, such as ``qkv=activations:32,d=weights:64``.

        >>> MappingRule.parse("activations:32").size
        32

        Raises
        ------
        InputError
            The text has another form.
        """
        if "=" in text:
            return cls("modules", modules=_modules(text))
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

    def of(self, module: str) -> "MappingRule":
        """The rule of a module's GeMMs."""
        return dict(self.modules).get(module, MappingRule()) if self.kind == "modules" else self

    def __str__(self) -> str:
        if self.kind == "modules":
            return ",".join(f"{module}={rule}" for module, rule in self.modules)
        if self.mapping is not None:
            return str(self.mapping)
        return self.kind if self.size is None else f"{self.kind}:{self.size}"


def _modules(text: str) -> tuple[tuple[str, MappingRule], ...]:
    """Read ``qkv=RULE,o=RULE``."""
    found: dict[str, MappingRule] = {}
    for part in text.split(","):
        module, _, rule = part.strip().partition("=")
        if module not in MODULES or module in found or not rule:
            raise InputError(
                f"mapping: {part!r} is no rule of a module; write each of {', '.join(MODULES)} once, as o=nothing"
            )
        found[module] = MappingRule.parse(rule)
        if found[module].kind in ("model", "modules"):
            raise InputError(
                f"mapping: {rule} is no rule of a single module; give it for all modules or choose another"
            )
    return tuple(found.items())

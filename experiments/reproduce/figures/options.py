"""Inputs of a comparison besides the program: precision tuples, models and amount of text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ....formats.checks import check_choice, check_integer
from ...options.reports import ReproductionOptions
from .published import PrecisionSets

MODELS = ("smollm2-135m",)


@dataclass(frozen=True)
class FigureOptions:
    """Options of a figure's comparison: published precisions, models, text, backend."""

    precisions: PrecisionSets = field(default_factory=PrecisionSets)
    models: tuple[str, ...] = MODELS
    """Models that the accuracy figures evaluate: fetched ones, or folders of checkpoints."""
    blocks: int = ReproductionOptions.blocks
    """Most blocks of 512 tokens to evaluate."""
    backend: str = ReproductionOptions.backend
    """Evaluation backend, ``numpy`` or ``torch``; the losses agree within rounding."""

    def __post_init__(self) -> None:
        check_integer("blocks", self.blocks, 2)
        from ....workloads.inference.torch_decoder import BACKENDS

        check_choice("backend", self.backend, BACKENDS)

    def key(self, names: frozenset[str]) -> list[Any]:
        """Values of the named options, as a cache key."""
        given = {"precisions": self.precisions.key(), "models": [*self.models, self.backend], "blocks": self.blocks}
        return [[name, given[name]] for name in sorted(names)]

"""Plan of the main job: the precisions to measure, and the number of text blocks for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ...formats.named_format import NamedFormat
from ...workloads import MODULES, AndaActivations, FormatActivations, Precision
from ...workloads.inference.decoder import Hook
from ..options.sweep import PointOptions
from ..sweep.evaluation import activation_hook
from .points import PointKind

BLOCKS = 12
"""Default number of blocks of the reference. Every point takes evenly spaced blocks among them, so that all comparisons
are paired. The numbers of blocks below are relative to this one."""

UNIFORM_BLOCKS: Mapping[int, int] = MappingProxyType(
    {4: 2, 5: 3, 6: 4, 7: 12, 8: 12, 9: 4, 10: 3, 11: 3, 13: 2}  # most blocks near a loss of 1 %
)
MODULE_WIDTHS = (4, 5, 6)
MODULE_BLOCKS = 2
MIXED = (Precision(8, 6, 8, 7), Precision(7, 5, 7, 6))
MIXED_BLOCKS = 12
WIDE = 16
"""Mantissa bits of the other modules in a study of one module; the truncation error is below FP16's resolution."""


@dataclass(frozen=True)
class PlannedPoint:
    """Activations to evaluate on `blocks` evenly spaced blocks of the reference: a precision of Anda, another format, or the arithmetic of an architecture."""

    kind: PointKind
    precision: Precision | None
    blocks: int
    format: NamedFormat | None = None
    arch: str = "anda"
    """Architecture that computes it."""

    @property
    def hook(self) -> Hook:
        """The activations of the GeMMs."""
        if self.precision is not None:
            return AndaActivations(self.precision)
        return machine_hook(self.arch) if self.format is None else FormatActivations(self.format.build())


def machine_hook(name: str) -> Hook:
    """Activations as the elements of an architecture of fixed width compute with them."""
    from ...sim import load_architecture

    options = PointOptions
    return activation_hook(load_architecture(name), Precision.uniform(WIDE), options.rounding, options.reconstruct)


def plan_points(blocks: int = BLOCKS) -> Iterator[PlannedPoint]:
    """Points of the main job: uniform widths, one narrow module, and a few mixed tuples.

    Parameters
    ----------
    blocks
        Blocks of the reference; the blocks of each point scale with it and are at least two, for a standard error.
    """

    for bits, count in UNIFORM_BLOCKS.items():
        yield PlannedPoint("uniform", Precision.uniform(bits), share(count, blocks))
    for module in MODULES:
        for bits in MODULE_WIDTHS:
            precision = Precision(*(bits if name == module else WIDE for name in MODULES))
            yield PlannedPoint("one module", precision, share(MODULE_BLOCKS, blocks))
    for precision in MIXED:
        yield PlannedPoint("mixed", precision, share(MIXED_BLOCKS, blocks))


def share(count: int, blocks: int) -> int:
    """Blocks of a point when the reference has `blocks` blocks: at least two, for a standard error."""
    return max(2, round(count * blocks / BLOCKS))


def format_points(formats: Sequence[NamedFormat], blocks: int = BLOCKS) -> Iterator[PlannedPoint]:
    """Points of other formats, on all blocks of the reference."""
    for named in formats:
        yield PlannedPoint("format", None, blocks, named)

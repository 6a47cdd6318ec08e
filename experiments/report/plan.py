"""Which precisions the main job measures, and on how many blocks of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...workloads import MODULES, Precision
from .points import Kind

BLOCKS = 12
"""Blocks of the reference, unless a run asks for more. Every point takes an evenly spaced subset of them, so all
comparisons are paired. The numbers of blocks below are shares of this one."""
BLOCK_TOKENS = 512

UNIFORM_BLOCKS: Mapping[int, int] = MappingProxyType(
    {4: 2, 5: 3, 6: 4, 7: 12, 8: 12, 9: 4, 10: 3, 11: 3, 13: 2}  # most where a loss of 1 % is decided
)
MODULE_WIDTHS = (4, 5, 6)
MODULE_BLOCKS = 2
MIXED = (Precision(8, 6, 8, 7), Precision(7, 5, 7, 6))
MIXED_BLOCKS = 12
WIDE = 16
"""Mantissa bits of the modules that are left alone: no value loses more than FP16 itself resolves in its group."""


@dataclass(frozen=True)
class PlannedPoint:
    """A precision to evaluate on the first, third, … of the reference's blocks."""

    kind: Kind
    precision: Precision
    blocks: int


def plan_points(blocks: int = BLOCKS) -> Iterator[PlannedPoint]:
    """The points of the main job: uniform widths, each module alone, and a few mixed tuples.

    Args:
        blocks: of the reference; each point takes its share, and at least two for a standard error.
    """

    def share(count: int) -> int:
        return max(2, round(count * blocks / BLOCKS))

    for bits, count in UNIFORM_BLOCKS.items():
        yield PlannedPoint("uniform", Precision.uniform(bits), share(count))
    for module in MODULES:
        for bits in MODULE_WIDTHS:
            precision = Precision(*(bits if name == module else WIDE for name in MODULES))
            yield PlannedPoint("one module", precision, share(MODULE_BLOCKS))
    for precision in MIXED:
        yield PlannedPoint("mixed", precision, share(MIXED_BLOCKS))

"""The best mappings of GeMMs by the compiled kernel."""

from collections.abc import Sequence

import numpy as np

from ...formats.kernels.dispatch import use_compiled
from ..cost.energy import UnitCosts
from ..cost.objective import Objective
from ..cost.search import best_mapping
from ..mapping.buffered import widened
from ..mapping.gemm_mapping import GemmMapping, Stays
from ..mapping.mapped_gemm import MappedGemm

STAYS: tuple[Stays, ...] = ("activations", "weights", "nothing", "activations", "weights", "sums")
"""Families of mappings by the kernel's number: those with sums in the array, then those in the buffer."""


def best_mappings(shapes: Sequence[MappedGemm], costs: UnitCosts, objective: Objective) -> list[GemmMapping]:
    """The mappings of `cost.search.best_mapping` for GeMMs on one machine.

    The compiled kernel takes over when the searches with sums in the buffer have paid for loading it.
    """
    machine = shapes[0].architecture
    if machine.partial_sums == "buffer" and not any(shape.skips for shape in shapes):
        _SEARCHED[:] = [sum(_SEARCHED) + sum(shape.groups * shape.column_tiles for shape in shapes)]
        if use_compiled(_SEARCHED[0]) and (found := compiled_mappings(shapes, costs, objective)):
            return found
    return [best_mapping(shape, costs, objective) for shape in shapes]


_SEARCHED: list[int] = []
"""Tiles of the array, in groups and columns, of all GeMMs that were searched so far with sums in the buffer."""


def compiled_mappings(shapes: Sequence[MappedGemm], costs: UnitCosts, objective: Objective) -> list[GemmMapping]:
    """The mappings by the kernel; none if it does not know a number of theirs."""
    from . import kernel
    from .machines import is_known, knows_results, machine_numbers

    machine = shapes[0].architecture
    if not (is_known(machine) and all(map(knows_results, shapes))):
        return []
    work = [
        (s.tokens, s.in_channels, s.out_channels, s.mantissa_bits, s.result_mantissa_bits or kernel.FP16_RESULTS)
        for s in shapes
    ]
    chosen = np.zeros((len(work), 7), dtype=np.int64)
    if not kernel.find_mappings(machine_numbers(machine, costs, objective), np.array(work), chosen):
        return []
    return [_mapping(shape, *row) for shape, row in zip(shapes, chosen.tolist(), strict=True)]


def _mapping(
    shape: MappedGemm,
    stays: int,
    tokens: int,
    inputs: int,
    channels: int,
    copies: int,
    weight_copies: int,
    buffered: int,
) -> GemmMapping:
    place = "buffer" if buffered else "array"
    found = GemmMapping(STAYS[3 * buffered + stays], tokens, inputs, channels, copies, weight_copies, place)
    return widened(shape, found) if buffered else found

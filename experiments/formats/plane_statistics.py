"""Share of zero bits and zero bit-planes in captured activations: the saving of zero-plane skipping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from ...formats import AndaFormat
from ...formats.anda.plane_mask import mean_group_cycles, plane_counts
from ...formats.latency.array import array_cycles_per_group
from ...workloads import MODULES, Trace
from ..inputs import as_trace
from ..options.parse import several
from ..options.question import question
from ..options.result import Table
from ..options.traces import PlaneOptions


@dataclass(frozen=True)
class PlaneStatistics:
    """Zero bits and zero bit-planes of a module's activations, in one captured layer or in all."""

    layer: int | None
    """Captured layer; None for the mean over all captured layers."""
    module: str
    mantissa_bits: int
    rows: int
    """Tokens in a block; a plane is skipped only if it is zero in all of them."""
    zero_bits: float
    """Share of mantissa bits that are zero, 0 to 1."""
    zero_planes: float
    """Mean number of skipped mantissa planes per group, 0 to `mantissa_bits`."""
    group_cycles: float
    """Mean cycles of the array per group, with skipping."""
    saving: float
    """Share of the array's cycles saved by skipping, 0 to 1."""


@question(PlaneOptions)
def trace_planes(options: PlaneOptions) -> Table:
    """Count the zero bits and zero bit-planes of captured activations: the saving of zero-plane skipping.

    Returns
    -------
    Table
        One row for each module, number of tokens in a block and mantissa width.

    Raises
    ------
    InputError
        The trace is missing or damaged, or a width or number of tokens is out of range.
    """
    widths, rows = several(options.m), several(options.rows)
    counts = plane_statistics(as_trace(options.trace), widths, rows, options.by_layer)
    return Table([asdict(record) for record in counts])


def plane_statistics(
    trace: Trace,
    mantissa_bits: Iterable[int] = range(4, 14),
    rows: Iterable[int] = (1, 16),
    layers: bool = False,
) -> list[PlaneStatistics]:
    """Count zero bits and planes for each module, number of tokens in a block and mantissa width.

    Parameters
    ----------
    trace
        The trace.
    mantissa_bits
        Mantissa widths M.
    rows
        Numbers of tokens in a block.
    layers
        Give a record for each captured layer instead of the mean over layers.

    Raises
    ------
    InputError
        A width or number of tokens is out of range.
    """
    captured: list[int] = trace.metadata["layers"]
    places = [(layer, [layer]) for layer in captured] if layers else [(None, captured)]
    return [
        _statistics(trace, layer, among, module, bits, block)
        for layer, among in places
        for block in rows
        for bits in mantissa_bits
        for module in MODULES
    ]


def _statistics(
    trace: Trace, layer: int | None, among: list[int], module: str, mantissa_bits: int, rows: int
) -> PlaneStatistics:
    """One record; layers have equal weight, because they have equally many tokens and channels."""
    format = AndaFormat(mantissa_bits)
    tensors = [format.encode(trace.activation(place, module)) for place in among]
    ones = np.mean([np.bitwise_count(tensor.planes).mean() for tensor in tensors]) / format.group_size
    sent = np.mean([plane_counts(tensor, rows).mean() for tensor in tensors])
    cycles = float(np.mean([mean_group_cycles(tensor, rows) for tensor in tensors]))
    return PlaneStatistics(
        layer=layer,
        module=module,
        mantissa_bits=mantissa_bits,
        rows=rows,
        zero_bits=float(1 - ones),
        zero_planes=float(mantissa_bits - sent),
        group_cycles=cycles,
        saving=1 - cycles / array_cycles_per_group(mantissa_bits),
    )

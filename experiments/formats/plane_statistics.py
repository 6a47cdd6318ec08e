"""How many bits and bit-planes of captured activations are zero: what zero-plane skipping can save."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...formats import AndaFormat
from ...formats.anda.plane_mask import mean_group_cycles, plane_counts
from ...formats.latency.array import array_cycles_per_group
from ...workloads import MODULES, Trace


@dataclass(frozen=True)
class PlaneStatistics:
    """Zero bits and planes of a module's activations, in one captured layer or over all."""

    layer: int | None
    """None: all captured layers."""
    module: str
    mantissa_bits: int
    rows: int
    """Tokens of a block, whose planes count as one."""
    zero_bits: float
    """Share of the mantissa bits that are zero."""
    zero_planes: float
    """Mantissa planes of a group that are not sent, on average, of `mantissa_bits`."""
    group_cycles: float
    """Cycles of the array for a group with skipping, on average."""
    saving: float
    """Share of the array's cycles that skipping saves."""


def plane_statistics(
    path: Path | str, mantissa_bits: Iterable[int] = range(4, 14), rows: Iterable[int] = (1, 16), layers: bool = False
) -> list[PlaneStatistics]:
    """Records for each module, block of rows and mantissa length; with `layers` for each captured layer, too.

    Raises:
        InputError: the trace is missing or damaged, or a length or block is out of range.
    """
    trace = Trace.load(path)
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
    """One record; the layers count alike, since they hold as many tokens and channels."""
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

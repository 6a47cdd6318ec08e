"""How many bit-planes of captured activations are zero: what zero-plane skipping can save."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..formats import AndaFormat
from ..formats.latency import array_cycles_per_group
from ..formats.plane_mask import mean_group_cycles, plane_counts
from ..workloads import MODULES, Trace


@dataclass(frozen=True)
class PlaneStatistics:
    """Zero planes of a module's activations, over all captured layers."""

    module: str
    mantissa_bits: int
    rows: int
    """Tokens of a block, whose planes count as one."""
    zero_planes: float
    """Mantissa planes of a group that are not sent, on average, of `mantissa_bits`."""
    group_cycles: float
    """Cycles of the array for a group with skipping, on average."""
    saving: float
    """Share of the array's cycles that skipping saves."""


def plane_statistics(
    path: Path | str, mantissa_bits: Iterable[int] = range(4, 14), rows: Iterable[int] = (1, 16)
) -> list[PlaneStatistics]:
    """Records for each module, block of rows and mantissa length.

    Raises:
        InputError: the trace is missing or damaged, or a length or block is out of range.
    """
    trace = Trace.load(path)
    return [_statistics(trace, module, bits, block) for block in rows for bits in mantissa_bits for module in MODULES]


def _statistics(trace: Trace, module: str, mantissa_bits: int, rows: int) -> PlaneStatistics:
    """One record; the layers count alike, since they hold as many tokens and channels."""
    format = AndaFormat(mantissa_bits)
    tensors = [format.encode(trace.activation(layer, module)) for layer in trace.metadata["layers"]]
    sent = np.mean([plane_counts(tensor, rows).mean() for tensor in tensors])
    cycles = float(np.mean([mean_group_cycles(tensor, rows) for tensor in tensors]))
    saving = 1 - cycles / array_cycles_per_group(mantissa_bits)
    return PlaneStatistics(module, mantissa_bits, rows, float(mantissa_bits - sent), cycles, saving)

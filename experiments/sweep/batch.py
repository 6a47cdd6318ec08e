"""Rows of many points by the compiled kernel of `sim.batch`, equal to those that `points.simulate_points` makes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...formats.kernels.dispatch import use_compiled
from ...sim import Settings, prepare
from ...sim.cost.energy import unit_costs
from ...workloads import MODULES, gemms, load_shape
from ...workloads.models.gemms import FP16_BITS
from .. import simulation
from . import points as point_rows
from .overrides import architecture_with, column, technology_with, with_numbers

if TYPE_CHECKING:
    import pyarrow as pa

    from ...sim import Architecture
    from ...sim.batch import kernel
    from .points import Point
    from .spec import SweepSpec
    from .stream import PointBlock

WORK = 1 << 10
"""Work of a point in the unit of `use_compiled`: the kernel pays from some hundred points on."""
COVERED = {
    "levels": ("analytical",),
    "scopes": ("gemms",),
    "mappings": ("best",),
    "memories": ("flat",),
    "prompts": (None,),
    "zero_planes": ("sent",),
}
"""Values of a sweep's fields that the kernel knows; weights that it does not know and partial sums go the plain way."""


UNKNOWN_TASK = [[1, 1, 1, 1]] * len(MODULES)
"""In place of GeMMs that are not one of each module; such points go the plain way, too."""


def _is_plain(machine: Architecture) -> bool:
    """True for a machine that the kernel does not know."""
    element, array = machine.processing_element, machine.array
    if machine.buffered_sums or array.count > 1 or array.decode is not None:
        return True
    return element.midpoint or element.cycles_per_group is not None


def is_covered(spec: SweepSpec) -> bool:
    """True if the kernel computes all points of a sweep."""
    same = all(set(getattr(spec, name)) == set(values) for name, values in COVERED.items())
    return same and spec.evaluation is None


def pays(points: int) -> bool:
    """True if so many points are worth loading the kernel."""
    return use_compiled(points * WORK)


def batch_table(block: PointBlock) -> pa.Table:
    """The rows of a block.

    Raises
    ------
    InputError
        A point cannot be simulated; the message says which.
    """
    import pyarrow as pa

    from .space.tables import coded_column, key_column, number_column

    inputs = {name: coded_column(*block.coded(name)) for name in block.names()}
    results = {name: number_column(values) for name, values in _results(block).items()}
    columns = {"key": key_column(block.key_characters()), **inputs, **results}
    return pa.Table.from_arrays(list(columns.values()), names=list(columns))


def _results(block: PointBlock) -> Mapping[str, NDArray[Any]]:
    from ...sim.batch.machines import batch_costs

    tasks, tables = block.coded_by("task", lambda row: _task(block.point(row)))
    bits = np.column_stack([block.column(f"mantissa_bits_{module}") for module in MODULES]).astype(np.int64)
    machines, areas, plain = _machines(block)
    totals = batch_costs(machines, bits, tasks.astype(np.int64), np.array(tables, dtype=np.int64))
    energies = totals.energies_pj.T
    results: dict[str, NDArray[Any]] = {
        "cycles": totals.cycles,
        "seconds": totals.cycles / machines.clock_hz,
        **_work(tasks, bits, tables),
        "dram_bytes": totals.dram_bytes,
        "sram_bytes": totals.sram_bytes,
        "area_mm2": areas,
        **{f"energy_{part}_pj": energy for part, energy in zip(point_rows.ENERGIES[:4], energies, strict=True)},
        "energy_total_pj": energies[0] + energies[1] + energies[2] + energies[3],
    }
    unknown = np.array([table is UNKNOWN_TASK for table in tables])[tasks]
    for row in np.flatnonzero(plain | unknown | ~totals.done).tolist():
        (single,) = point_rows.simulate_points([block.point(row)])
        for name, values in results.items():
            values[row] = single[name]
    return results


def _task(point: Point) -> list[list[int]]:
    """Tokens, input channels, output channels and repeats of a point's GeMMs."""
    shape = load_shape(str(point.model))
    simulation.check_request(point, shape)
    work = gemms(shape, point.phase, point.tokens, point.context, batch=point.batch)
    if [gemm.module for gemm in work] != list(MODULES):  # layers of several kinds, or experts
        return UNKNOWN_TASK
    return [[gemm.tokens, gemm.in_channels, gemm.out_channels, gemm.repeat] for gemm in work]


def _work(tasks: NDArray[np.int32], bits: NDArray[np.int64], tables: list[Any]) -> dict[str, NDArray[Any]]:
    """Multiply-accumulates, and the saving of bit operations, in whole numbers of any size."""
    macs = [[int(np.prod(gemm, dtype=object)) for gemm in table] for table in tables]
    numbers = tasks.astype(np.int64)
    for module in range(bits.shape[1]):
        numbers = numbers * (FP16_BITS + 1) + bits[:, module]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    savings = [
        FP16_BITS * sum(macs[tasks[row]]) / sum(m * int(b) for m, b in zip(macs[tasks[row]], bits[row], strict=True))
        for row in first
    ]
    return {"macs": np.array([sum(each) for each in macs])[tasks], "bops_saving": np.array(savings)[inverse]}


def _machines(block: PointBlock) -> tuple[kernel.Machines, NDArray[np.float64], NDArray[np.bool_]]:
    """Machines of all rows, their areas, and True for machines that the kernel does not know."""
    from ...sim.batch.machines import areas_mm2, joined, machine_columns

    codes, points = block.coded_by("structure", block.point)
    order = np.argsort(codes, kind="stable")
    parts: list[kernel.Machines] = []
    areas: list[NDArray[np.float64]] = []
    plain: list[NDArray[np.bool_]] = []
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        point: Point = points[codes[rows[0]]]
        shared: dict[str, Any] = {
            name: getattr(point, name) for name in Settings.__match_args__ if hasattr(point, name)
        }
        shared |= {"technology": technology_with(str(point.technology), point.technology_settings), "timeline": None}
        setup = prepare(architecture_with(str(point.arch), point.architecture_settings), Settings(**shared))
        machine, process = block.with_columns(setup.machine, rows), setup.process
        for field, _ in point.technology_settings:
            values = block.column(column(field))[rows].astype(np.float64)
            process = with_numbers(process, [*field.split("."), "value"], values)
        costs = unit_costs(machine, process, False, setup.costs.background, point.idle, point.clock_gating)
        parts.append(machine_columns(machine, costs, setup.objective, len(rows)))
        areas.append(areas_mm2(costs, len(rows)))
        plain.append(np.full(len(rows), _is_plain(machine)))
    back = np.argsort(order)
    return joined(parts, back), np.concatenate(areas)[back], np.concatenate(plain)[back]

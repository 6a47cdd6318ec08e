"""Rows of many points by the compiled kernel of `sim.batch`, equal to those that `points.simulate_points` makes one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...formats.kernels.dispatch import use_compiled
from ...sim import Settings, prepare
from ...sim.cost.energy import unit_costs
from ...workloads import MODULES, Precision, gemms, load_shape
from ...workloads.models.gemms import FP16_BITS
from .. import simulation
from ..precisions import given_precision
from . import points as point_rows
from .overrides import column, technology_with, with_numbers

if TYPE_CHECKING:
    import pyarrow as pa

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
"""Values of a sweep's fields that the kernel knows."""


def is_covered(spec: SweepSpec) -> bool:
    """True if the kernel computes all points of a sweep."""
    same = all(set(getattr(spec, name)) == set(values) for name, values in COVERED.items())
    layered = any(not isinstance(given_precision(text), Precision) for text in spec.precisions or ())
    return same and spec.evaluation is None and not layered


def pays(points: int) -> bool:
    """True if so many points are worth loading the kernel."""
    return use_compiled(points * WORK)


def batch_table(block: PointBlock) -> tuple[pa.Table, dict[str, str]]:
    """The rows of a block, and the points that cannot be simulated (`points.SimulatedPoints`)."""
    import pyarrow as pa

    from .space.tables import coded_column, key_column, number_column

    inputs = {name: coded_column(*block.coded(name)) for name in block.names()}
    found, left_out = _results(block)
    results = {name: number_column(values) for name, values in found.items()}
    columns = {"key": key_column(block.key_characters()), **inputs, **results}
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    if not left_out:
        return table, {}
    kept = np.ones(len(block), dtype=np.bool_)
    kept[list(left_out)] = False
    keys = table.column("key")
    return table.filter(number_column(kept)), {keys[row].as_py(): reason for row, reason in left_out.items()}


def _results(block: PointBlock) -> tuple[Mapping[str, NDArray[Any]], dict[int, str]]:
    """Result columns, and the rows that cannot be simulated, with the reasons."""
    from ...sim.batch.machines import batch_costs, room

    tasks, tables = block.coded_by("task", lambda row: _task(block.point(row)))
    bits = np.column_stack([block.column(f"mantissa_bits_{module}") for module in MODULES]).astype(np.int64)
    machines, areas, plain = _machines(block)
    totals = batch_costs(machines, bits, tasks.astype(np.int64), _filled(tables))
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
    left_out: dict[int, str] = {}
    for rows in _alike(
        np.column_stack([room(machines), tasks.astype(np.int64), bits]), np.flatnonzero(~(plain | totals.fits))
    ):
        left_out |= dict.fromkeys(rows, _refusal(block.point(rows[0])))
    for row in np.flatnonzero(plain | (totals.fits & ~totals.done)).tolist():
        found = point_rows.simulate_possible([block.point(row)])
        left_out |= zip([row], found.left_out.values(), strict=False)
        for single in found.rows:
            for name, values in results.items():
                values[row] = single[name]
    return results, left_out


def _alike(table: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[list[int]]:
    """Rows of a table that are equal, together."""
    if len(rows):
        _, inverse = np.unique(table[rows], axis=0, return_inverse=True)
        yield from (rows[inverse.ravel() == group].tolist() for group in range(int(inverse.max()) + 1))


def _refusal(point: Point) -> str:
    """Why a point cannot be simulated."""
    (reason,) = point_rows.simulate_possible([point]).left_out.values()
    return reason


def _task(point: Point) -> list[list[int]]:
    """Tokens, input channels, output channels, repeats and number of the module of a point's GeMMs."""
    shape = load_shape(str(point.model))
    simulation.check_request(point, shape)
    work = gemms(shape, point.phase, point.tokens, point.context, batch=point.batch)
    return [
        [*(gemm.tokens, gemm.in_channels, gemm.out_channels, gemm.repeat), MODULES.index(gemm.module)] for gemm in work
    ]


def _filled(tables: list[list[list[int]]]) -> NDArray[np.int64]:
    """Lists of GeMMs as an array, short ones filled with zeros."""
    filled = np.zeros((len(tables), max(map(len, tables)), 5), dtype=np.int64)
    for place, table in enumerate(tables):
        filled[place, : len(table)] = table
    return filled


def _work(tasks: NDArray[np.int32], bits: NDArray[np.int64], tables: list[Any]) -> dict[str, NDArray[Any]]:
    """Multiply-accumulates, and the saving of bit operations, in whole numbers of any size."""
    macs = [[(int(np.prod(gemm[:4], dtype=object)), gemm[4]) for gemm in table] for table in tables]
    sums = [sum(count for count, _ in table) for table in macs]
    numbers = tasks.astype(np.int64)
    for module in range(bits.shape[1]):
        numbers = numbers * (FP16_BITS + 1) + bits[:, module]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    savings = [
        FP16_BITS * sums[tasks[row]] / sum(count * int(bits[row, module]) for count, module in macs[tasks[row]])
        for row in first
    ]
    return {"macs": np.array(sums)[tasks], "bops_saving": np.array(savings)[inverse]}


def _machines(block: PointBlock) -> tuple[kernel.Machines, NDArray[np.float64], NDArray[np.bool_]]:
    """Machines of all rows, their areas, and True for machines that the kernel does not know."""
    from ...sim.batch.machines import areas_mm2, is_known, joined, machine_columns

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
        setup = prepare(point.machine, Settings(**shared))
        machine, process = block.with_columns(setup.machine, rows), setup.process
        for field, _ in point.technology_settings:
            values = block.column(column(field))[rows].astype(np.float64)
            process = with_numbers(process, [*field.split("."), "value"], values)
        costs = unit_costs(machine, process, False, setup.costs.background, point.idle, point.clock_gating)
        parts.append(machine_columns(machine, costs, setup.objective, len(rows)))
        areas.append(areas_mm2(costs, len(rows)))
        plain.append(np.full(len(rows), not is_known(setup.machine)))
    back = np.argsort(order)
    return joined(parts, back), np.concatenate(areas)[back], np.concatenate(plain)[back]

"""Machines as columns of numbers: fields of an architecture, and unit costs, may be arrays."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.activations.stored import FP16
from ...formats.anda.format import EXPONENT_BITS
from ...formats.latency.elements import pe_cycles_per_group
from ...formats.named_format import NamedFormat
from ...formats.numeric.alignment import GROUP_SIZE, MAX_MANTISSA_BITS
from ...workloads.models.gemms import FP16_BITS
from ..config.architecture import Architecture
from ..cost.energy import UnitCosts
from ..cost.objective import NUMBERS, Objective
from ..mapping.mapped_gemm import MappedGemm
from . import kernel

TIMINGS = {
    "bit-serial": kernel.BIT_SERIAL,
    "fp16-rate": kernel.FP16_RATE,
    "mantissa-rate": kernel.MANTISSA_RATE,
    "weight-serial": kernel.WEIGHT_SERIAL,
}
KINDS = {name: int if kind is kernel.Integers else float for name, kind in kernel.Machines.__annotations__.items()}
"""Types of the numbers."""


def is_known(machine: Architecture) -> bool:
    """True for a machine that the kernel can compute, whose activation format it knows, too; others go the plain way."""
    element, array = machine.processing_element, machine.array
    if machine.scratchpad == "shared":
        return False
    one_array = array.dataflow == "output-stationary" and array.count == 1 and array.decode is None
    return one_array and not element.midpoint and element.cycles_per_group is None and _knows_format(machine)


def _knows_format(machine: Architecture) -> bool:
    """True if the kernel's formulas are those of a machine's activation format."""
    lanes, variable = machine.group_size, machine.processing_element.mantissa_bits == "variable"
    if not machine.longest.needs_compressor:
        return not variable and machine.longest.token_bits(1) == FP16_BITS
    groups = getattr(machine.activations.registered, "lane_groups", False)
    if not (variable and groups and machine.takes_precision) or machine.exponent_buffer is None:
        return False
    return _has_planes(machine.activations, machine.activations.registered, lanes)


@cache
def _has_planes(activations: NamedFormat, registered: Any, lanes: int) -> bool:
    """True if a group of a format is a sign plane, a plane for each mantissa bit, and an exponent; a class may be replaced."""
    for bits in range(1, MAX_MANTISSA_BITS + 1):
        stored = activations.stored(bits, lanes)
        sizes = stored.group_size, stored.group_bits - stored.shared_bits, stored.shared_bits
        if sizes != (lanes, lanes * (bits + 1), EXPONENT_BITS):
            return False
        if (stored.mantissa_bits, stored.cycles) != (bits, pe_cycles_per_group(bits)):
            return False
    return True


def knows_results(mapped: MappedGemm) -> bool:
    """True if the kernel's formulas are those of a GeMM's results, where they are those of the machine's format."""
    return mapped.results == FP16 or mapped.results == mapped.architecture.stored(mapped.results.mantissa_bits)


def machine_columns(machine: Architecture, costs: UnitCosts, objective: Objective, count: int) -> kernel.Machines:
    """The numbers of `count` machines that differ in the fields and costs that are arrays."""
    kinds = kernel.Machines.__annotations__
    numbers = _numbers(machine, costs, objective)
    return kernel.Machines(**{name: _filled(value, kinds[name], count) for name, value in numbers.items()})


def machine_numbers(machine: Architecture, costs: UnitCosts, objective: Objective) -> Any:
    """The numbers of one machine, in place of arrays."""
    make: Any = kernel.Machines
    return make(*(KINDS[name](value) for name, value in _numbers(machine, costs, objective).items()))


def _numbers(machine: Architecture, costs: UnitCosts, objective: Objective) -> dict[str, Any]:
    weights, element, idle, sram = machine.weights, machine.processing_element, costs.idle, costs.sram
    exponents, power = machine.exponent_buffer, costs.background
    return {
        "rows": machine.array.rows,
        "columns": machine.array.columns,
        "lanes": element.lanes,
        "timing": TIMINGS.get(str(element.timing), kernel.FP16_RATE),
        "planes": machine.activations.longest(GROUP_SIZE).needs_compressor,
        "saves_sums": machine.partial_sums == "buffer",
        "activation_port": machine.activation_buffer.port_bits,
        "activation_bits": machine.activation_buffer.capacity_bytes * 8,
        "exponent_bits": 1 << 62 if exponents is None else exponents.capacity_bytes * 8,
        "weight_bits": machine.weight_buffer.capacity_bytes * 8,
        "weight_port": machine.weight_buffer.port_bits,
        "digits": machine.weight_digits,
        "code_bits": weights.bits,
        "decode_cycles": weights.decode_cycles,
        "scale_group": weights.group_size,
        "scale_bits": weights.scale_bits,
        "channel_extra_bits": weights.table_bits + weights.pointer_bits,
        "sparse_bits": weights.sparse_bits,
        "sparse_lanes": weights.sparse_lanes,
        "side_lanes": idle.side_lanes,
        "sparse_fraction": weights.sparse_fraction,
        "array_pj": costs.array_pj_per_cycle,
        "support_pj": sum(costs.support_pj_per_cycle.values()),
        "idle_elements": idle.elements,
        "waiting_pj": idle.waiting_pj_per_cycle,
        "idle_side": idle.side,
        "side_pj": idle.side_pj,
        "side_waiting_pj": idle.side_waiting_pj,
        "activation_read_pj": sram.activation_read_pj_per_bit,
        "activation_write_pj": sram.activation_write_pj_per_bit,
        "weight_read_pj": sram.weight_read_pj_per_bit,
        "weight_write_pj": sram.weight_write_pj_per_bit,
        "leakage_pj": sram.leakage_pj_per_cycle,
        "dram_pj": costs.dram_pj_per_bit,
        "dram_bits_per_cycle": costs.dram_bits_per_cycle,
        "background_w": 0.0 if power is None else power.standby_w + power.refresh_w,
        "active_w": 0.0 if power is None else power.active_w - power.standby_w,
        "clock_hz": costs.clock_hz,
        "objective": NUMBERS[objective],
    }


def room(machines: kernel.Machines) -> NDArray[np.int64]:
    """Numbers that decide whether a GeMM fits the buffers, a row for each machine."""
    buffers = machines.activation_bits, machines.exponent_bits, machines.weight_bits
    array = machines.rows, machines.columns, machines.lanes, machines.code_bits, machines.planes
    return np.column_stack([*buffers, *array]).astype(np.int64)


def joined(parts: list[kernel.Machines], order: NDArray[np.int64]) -> kernel.Machines:
    """Machines of several parts, in an order."""
    return kernel.Machines(*(np.concatenate(columns)[order] for columns in zip(*parts, strict=True)))


def areas_mm2(costs: UnitCosts, count: int) -> NDArray[np.float64]:
    """Area of all parts of each machine."""
    parts = [np.broadcast_to(np.asarray(area, dtype=np.float64), count) for area in costs.area_mm2.values()]
    if all(np.ndim(area) == 0 for area in costs.area_mm2.values()):
        return np.full(count, math.fsum(costs.area_mm2.values()))
    return kernel.exact_sums(np.ascontiguousarray(np.column_stack(parts)))


def batch_costs(
    machines: kernel.Machines,
    bits: NDArray[np.int64],
    tasks: NDArray[np.int64],
    gemms: NDArray[np.int64],
) -> kernel.Totals:
    """Cost of the GeMMs of models on machines, at level `analytical` with the best mapping of each.

    Parameters
    ----------
    machines
        A machine for each element.
    bits
        Mantissa bits of qkv, o, u and d that the datapath uses, ``[elements, 4]``.
    tasks
        For each element its row of `gemms`.
    gemms
        Tokens, input channels, output channels, repeats and number of the module, ``[tasks, gemms, 5]``; without repeats a row
        is filling.
    """
    count = len(tasks)
    results = np.where(machines.planes[:, None] != 0, bits[:, CONSUMERS], kernel.FP16_RESULTS)
    results[:, 0] = kernel.FP16_RESULTS  # those of qkv go to the attention
    cycles, dram_bytes, sram_bytes = np.zeros((3, count), dtype=np.int64)
    done, fits = np.zeros((2, count), dtype=np.bool_)
    totals = kernel.Totals(done, fits, cycles, dram_bytes, sram_bytes, np.zeros((count, 4)))
    kernel.total_costs(
        machines, np.ascontiguousarray(bits), results, tasks, gemms, totals, True if machines.saves_sums.any() else None
    )
    return totals


CONSUMERS = (0, 2, 3, 0)
"""Module whose mantissa bits the results of qkv (FP16), o, u and d have: `mapped_gemm.CONSUMER`."""


def _filled(value: Any, kind: Any, count: int) -> NDArray[Any]:
    dtype = np.int64 if kind is kernel.Integers else np.float64
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype=dtype), count))

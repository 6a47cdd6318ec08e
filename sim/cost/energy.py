"""Unit costs of an architecture in a technology: energy of each event, area of each part, from published powers.

The technology gives the mean power of each part of a reference machine in one run. Power over clock frequency is energy
per cycle; energy per cycle over bits moved per cycle is energy per bit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple, Self

import numpy as np

from ...formats import InputError
from ...formats.latency.elements import FP16_GROUP_CYCLES
from ..analytical.gemm import SramBits
from ..config.architecture import Architecture, load_architecture
from ..config.idle import Idle
from ..config.technology import ElementRatios, Technology
from ..memory.background import BackgroundPower
from .element_costs import baseline_area_mm2, baseline_pj_per_cycle, element_ratios, pj_per_cycle
from .idle import IdleCosts, idle_power

ENERGY_PARTS = ("compute", "sram", "dram", "background")
"""Places of energy, which add up to the total."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy in picojoules by place."""

    compute: float
    """Array, side unit, compressor, vector unit and controller, idle or at work."""
    sram: float
    dram: float
    """Bits that move."""
    background: float = 0.0
    """Standby and refresh of the DRAM."""
    idle: float = 0.0
    """Energy of idle elements in array and side unit; part of `compute`."""

    @property
    def total(self) -> float:
        """Sum of the parts."""
        return self.compute + self.sram + self.dram + self.background

    @classmethod
    def sum(cls, parts: "Iterable[tuple[Energy, int]]") -> Self:
        """Sum of energies, each times a number of repeats."""
        listed = list(parts)
        names = (*ENERGY_PARTS, "idle")
        return cls(**{name: math.fsum(getattr(energy, name) * repeat for energy, repeat in listed) for name in names})

    def to_dict(self) -> dict[str, float]:
        """Parts and total as plain numbers, for JSON."""
        return {**{part: getattr(self, part) for part in ENERGY_PARTS}, "total": self.total}


@dataclass(frozen=True, slots=True)
class Work:
    """Work of a part of a run: counts that unit costs turn into energy."""

    element_cycles: int = 0
    """Cycles of the array at the power of elements at work."""
    used_cycles: float = 0.0
    """Those cycles times the share of the array's lanes that hold operands."""
    busy_cycles: int = 0
    """Cycles in which elements work; in all others the array waits."""
    skipped_cycles: int = 0
    """Cycles of the elements that zero-plane skipping saves."""
    array_cycles: int = 0
    """Cycles in which the array runs."""
    side_products: int = 0
    """Products of the side unit of sparse weights for whole tiles."""
    used_side_products: int = 0
    """Those of tokens and output channels that exist."""
    sum_additions: int = 0
    """Additions of partial sums outside the array, in FP32."""
    operations: Mapping[str, int] = field(default_factory=dict[str, int])
    """Operations of vector lanes, by kind."""
    sram: SramBits = field(default_factory=SramBits)
    dram_bits: int = 0

    @property
    def used_share(self) -> float:
        """Share of the array's lanes that hold operands while it works."""
        return self.used_cycles / self.element_cycles if self.element_cycles else 1.0


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Energy of one event of each kind, and the area of each part, on one architecture."""

    array_pj_per_cycle: float
    """All elements of the array, in a cycle in which they work."""
    skipped_pj_per_cycle: float
    """Energy that a skipped cycle still counts, since a zero plane takes less than a mean cycle."""
    support_pj_per_cycle: dict[str, float]
    """Compressor, vector unit and controller, in a cycle in which the array runs."""
    vector_pj: dict[str, float]
    """One operation of a vector lane, by kind. FP16 operations count as multiply-accumulates, an upper bound."""
    sram: "SramCosts"
    dram_pj_per_bit: float
    dram_bits_per_cycle: float
    area_mm2: dict[str, float]
    """By part; NaN for the array if nothing states the area of its elements."""
    clock_hz: int
    background: BackgroundPower | None = None
    """Standby and refresh of the DRAM; None if they are not counted."""
    idle: IdleCosts = field(default_factory=IdleCosts)
    notes: tuple[str, ...] = ()
    """Warnings about the buffers: interpolated, or slower than the clock."""

    def energy(self, work: Work, cycles: int) -> Energy:
        """Energy of some work that takes `cycles` cycles.

        Raises
        ------
        InputError
            The technology does not know a kind of operation.
        """
        array, side = self.array_pj(work), work.side_products * self.idle.side_pj
        used_side = work.used_side_products * self.idle.side_pj
        idle = array * (1 - work.used_share) * self.idle.elements + (side - used_side) * self.idle.side
        idle += self.idle.waiting_pj_per_cycle * (cycles - work.busy_cycles)
        idle += self.idle.side_waiting_pj * (cycles * self.idle.side_lanes - work.side_products)
        compute = array * work.used_share + used_side + idle
        compute += work.array_cycles * sum(self.support_pj_per_cycle.values())
        compute += work.sum_additions * self.addition_pj
        for kind, count in work.operations.items():
            compute += count * self.operation_pj(kind)
        return Energy(
            compute,
            self.sram_pj(work.sram, cycles),
            work.dram_bits * self.dram_pj_per_bit,
            self.background_pj(work.dram_bits, cycles),
            idle,
        )

    @property
    def addition_pj(self) -> float:
        """Energy of an addition of partial sums: that of a FP16 multiply-accumulate, an upper bound; 0 if it is unknown."""
        return self.vector_pj.get("fp16", 0.0)

    def array_pj(self, work: Work) -> float:
        """Energy of the array in picojoules if all its lanes hold operands; a skipped plane still counts in part."""
        return work.element_cycles * self.array_pj_per_cycle + work.skipped_cycles * self.skipped_pj_per_cycle

    def operation_pj(self, kind: str) -> float:
        """Energy of one operation of a vector lane, in picojoules.

        Raises
        ------
        InputError
            The technology does not know the kind.
        """
        if kind not in self.vector_pj:
            raise InputError(f"vector_operations: the technology has no {kind!r}; add it with its source")
        return self.vector_pj[kind]

    def background_pj(self, dram_bits: int, cycles: int) -> float:
        """Energy of the DRAM's standby and refresh over `cycles` cycles, in picojoules; active while bits move."""
        power = self.background
        if power is None:
            return 0.0
        active = np.minimum(dram_bits / self.dram_bits_per_cycle, cycles)
        watt_cycles = cycles * (power.standby_w + power.refresh_w) + active * (power.active_w - power.standby_w)
        return watt_cycles * 1e12 / self.clock_hz

    def rates(self) -> "EnergyRates":
        """Energy of one unit of each count that a mapping changes.

        `energy` is linear in them as long as moving the bits takes no longer than the cycles, as in every GeMM.
        """
        sram, idle, power, pj_per_watt_cycle = self.sram, self.idle, self.background, 1e12 / self.clock_hz
        standby = 0.0 if power is None else power.standby_w + power.refresh_w
        active = 0.0 if power is None else (power.active_w - power.standby_w) / self.dram_bits_per_cycle
        waiting = idle.waiting_pj_per_cycle + idle.side_waiting_pj * idle.side_lanes
        return EnergyRates(
            dram=self.dram_pj_per_bit + active * pj_per_watt_cycle,
            activation_write=sram.activation_write_pj_per_bit,
            weight_write=sram.weight_write_pj_per_bit,
            sums=sram.activation_read_pj_per_bit + sram.activation_write_pj_per_bit,
            array_cycle=float(sum(self.support_pj_per_cycle.values())),
            cycle=waiting + sram.leakage_pj_per_cycle + standby * pj_per_watt_cycle,
        )

    def sram_pj(self, bits: SramBits, cycles: int) -> float:
        """Energy of the buffers, in picojoules: bits moved, and leakage over `cycles` cycles."""
        sram = self.sram
        return (
            (bits.activation_reads + bits.sum_reads) * sram.activation_read_pj_per_bit
            + (bits.activation_writes + bits.sum_writes) * sram.activation_write_pj_per_bit
            + bits.weight_reads * sram.weight_read_pj_per_bit
            + bits.weight_writes * sram.weight_write_pj_per_bit
            + cycles * sram.leakage_pj_per_cycle
        )


class EnergyRates(NamedTuple):
    """Energy in pJ of one unit of each count that a mapping changes."""

    dram: float
    """One bit."""
    activation_write: float
    weight_write: float
    sums: float
    """One bit of partial sums, to the buffer and back."""
    array_cycle: float
    """Compressor, vector unit and controller, while the array works."""
    cycle: float
    """Waiting elements, leakage and standby."""


@dataclass(frozen=True, slots=True)
class SramCosts:
    """Energy of the buffers; the exponent buffer and partial sums count with the activations."""

    activation_read_pj_per_bit: float
    activation_write_pj_per_bit: float
    weight_read_pj_per_bit: float
    weight_write_pj_per_bit: float
    leakage_pj_per_cycle: float = 0.0
    """Zero if the technology gives no leakage of its own."""


def unit_costs(
    architecture: Architecture,
    technology: Technology,
    skipping: bool = False,
    background: BackgroundPower | None = None,
    idle: Idle = "measured",
    clock_gating: bool = False,
) -> UnitCosts:
    """Derive the unit costs of an architecture.

    The array scales with the number and kind of its elements, compressor and vector unit with their lanes. Buffers come
    from the technology's table of memories. Without a table their area scales with capacity and their energy per bit is
    constant, since the published powers are of one size.

    Parameters
    ----------
    architecture
        The machine.
    technology
        Areas and powers of the reference machine.
    skipping
        True for elements that skip zero planes.
    background
        Standby and refresh of the DRAM, if they are counted.
    idle
        Power of idle elements.
    clock_gating
        True if idle elements have no clock.

    Raises
    ------
    InputError
        The technology lacks the processing element, the buffer or the costs of skipping.
    """
    reference = load_architecture(technology.reference.architecture)
    scale = _scales(architecture, reference)
    element = element_ratios(architecture, technology)
    units = {
        "compressor": technology.compressor,
        "vector_unit": technology.vector_unit,
        "controller": technology.controller,
    }
    array_pj = baseline_pj_per_cycle(technology, reference)
    macs_per_cycle = reference.array.rows * reference.array.columns * reference.group_size / FP16_GROUP_CYCLES
    mac_pj = (
        array_pj * technology.element(technology.reference.baseline, "reference.baseline").power.value / macs_per_cycle
    )
    array_mm2 = baseline_area_mm2(technology, reference)
    per_cycle = array_pj * element.power.value * scale["array"]
    area, power, plane = _skipping(technology) if skipping else (1.0, 1.0, 1.0)
    sram, buffer_area, notes = _buffers(architecture, technology, reference, scale)
    side_pj = mac_pj * technology.vector_operations["fp16"].value if "fp16" in technology.vector_operations else 0.0
    idle_costs, idle_notes = idle_power(
        architecture, technology, element, idle, clock_gating, per_cycle * power, side_pj
    )
    return UnitCosts(
        array_pj_per_cycle=per_cycle * power,
        idle=idle_costs,
        skipped_pj_per_cycle=per_cycle * (power - plane),
        support_pj_per_cycle={name: pj_per_cycle(unit, reference) * scale[name] for name, unit in units.items()},
        vector_pj={kind: mac_pj * ratio.value for kind, ratio in technology.vector_operations.items()},
        sram=sram,
        dram_pj_per_bit=technology.dram.energy.value,
        dram_bits_per_cycle=technology.dram.bandwidth.value * 8e9 / architecture.clock_hz,
        area_mm2={
            "array": math.nan if element.area is None else array_mm2 * element.area.value * scale["array"] * area,
            **_accumulators(architecture, technology, array_mm2),
            **{name: unit.area.value * scale[name] for name, unit in units.items()},
            **buffer_area,
        },
        clock_hz=architecture.clock_hz,
        background=background,
        notes=notes + idle_notes + _area_notes(architecture, technology, element),
    )


def _area_notes(architecture: Architecture, technology: Technology, element: ElementRatios) -> tuple[str, ...]:
    if element.area is not None:
        return ()
    kind = architecture.processing_element.kind
    return (f"area: neither {kind} nor technology {technology.name} states that of an element; it is unknown",)


def _accumulators(architecture: Architecture, technology: Technology, array_mm2: float) -> dict[str, float]:
    """Area in mm2 of the FP32 adders outside an array whose sums leave it, one a column; none for output-stationary arrays.

    An adder counts as a multiply-accumulate of the baseline, an upper bound.
    """
    columns = [each.columns * each.count for each in architecture.array.shapes if each.dataflow != "output-stationary"]
    if not columns:
        return {}
    reference, element = (
        load_architecture(technology.reference.architecture),
        technology.element(technology.reference.baseline),
    )
    macs = reference.array.elements * reference.group_size / FP16_GROUP_CYCLES
    area = math.nan if element.area is None else element.area.value
    return {"accumulators": array_mm2 * area / macs * reduce(np.maximum, columns)}


def _skipping(technology: Technology) -> tuple[float, float, float]:
    """Area and power of elements with zero-plane skipping relative to those without, and energy saved by a skipped plane."""
    if technology.skipping is None:
        raise InputError(
            f"skipping: technology {technology.name} has no cost for it; add skipping with area, power and plane"
        )
    found = technology.skipping
    return found.area.value, found.power.value, found.plane.value


def _buffers(
    architecture: Architecture, technology: Technology, reference: Architecture, scale: dict[str, float]
) -> tuple[SramCosts, dict[str, float], tuple[str, ...]]:
    """Energy, area and warnings of the buffers, from the technology's table or the published figures."""
    if technology.sram is None:
        per_bit = sram_pj_per_bit(technology, reference)
        area = {
            "activation_buffer": technology.activation_buffer.area.value * scale["activation_buffer"],
            "weight_buffer": technology.weight_buffer.area.value * scale["weight_buffer"],
        }
        notes = (
            f"{field}: technology {technology.name} has one energy per bit for buffers of all sizes; a technology with a "
            "table of memories, such as cacti-16nm, has its own for each"
            for field in area
            if np.any(scale[field] != 1)
        )
        return SramCosts(per_bit, per_bit, per_bit, per_bit), area, tuple(notes)
    memories = {field: (buffer.capacity_bytes, buffer.port_bits) for field, buffer in architecture.buffers.items()}
    fields = "activation_buffer", "weight_buffer"
    if architecture.scratchpad == "shared":  # one memory of banks, each as wide as the wider port
        both = [memories.pop(field) for field in fields]
        memories["scratchpad"] = sum(capacity for capacity, _ in both), max(port for _, port in both)
        fields = "scratchpad", "scratchpad"
    macros = {field: technology.sram.macro(field, *memory) for field, memory in memories.items()}
    activation, weight = (macros[field] for field in fields)
    activation_port, weight_port = (memories[field][1] for field in fields)
    costs = SramCosts(
        activation_read_pj_per_bit=activation.read_pj / activation_port,
        activation_write_pj_per_bit=activation.write_pj / activation_port,
        weight_read_pj_per_bit=weight.read_pj / weight_port,
        weight_write_pj_per_bit=weight.write_pj / weight_port,
        leakage_pj_per_cycle=sum(macro.leakage_mw for macro in macros.values()) * 1e9 / architecture.clock_hz,
    )
    notes = (note for field, macro in macros.items() for note in macro.notes(field, architecture.clock_hz))
    return costs, {field: macro.area_mm2 for field, macro in macros.items()}, tuple(notes)


def sram_pj_per_bit(technology: Technology, reference: Architecture) -> float:
    """Buffer energy per bit: power of both buffers over the bits that both deliver in the published run.

    The activation buffer delivers one plane of all rows in each cycle, and the exponents once a group. The weight buffer
    delivers the codes of all columns and their share of the scales once a group. Both are 1024 bits wide and hold 1 MiB,
    so they share one figure; separately, their powers would give 0.057 and 0.047 pJ/bit.
    """
    cycles = technology.reference.cycles_per_group.value
    group, array = reference.group_size, reference.array
    exponent_bits = reference.token_bits(group, 1) - reference.token_footprint(group, 1)[0]
    activation_bits = array.rows * (group * cycles + exponent_bits)
    scale_bits = reference.weights.scale_bits * group / reference.weights.group_size
    weight_bits = array.columns * (group * reference.weights.bits + scale_bits)
    pj = pj_per_cycle(technology.activation_buffer, reference) + pj_per_cycle(technology.weight_buffer, reference)
    return pj * cycles / (activation_bits + weight_bits)


def _scales(architecture: Architecture, reference: Architecture) -> dict[str, float]:
    """Size of each part relative to the reference machine."""
    lanes = architecture.compressor.lanes if architecture.compressor else 0
    reference_lanes = reference.compressor.lanes if reference.compressor else 1
    return {
        "array": _elements(architecture) / _elements(reference),
        "compressor": lanes / reference_lanes,
        "vector_unit": architecture.vector_lanes / reference.vector_lanes,
        "controller": 1.0,
        "activation_buffer": _activation_bytes(architecture) / _activation_bytes(reference),
        "weight_buffer": architecture.weight_buffer.capacity_bytes / reference.weight_buffer.capacity_bytes,
    }


def _elements(architecture: Architecture) -> int:
    return architecture.array.elements * architecture.processing_element.lanes


def _activation_bytes(architecture: Architecture) -> int:
    exponents = architecture.exponent_buffer
    return architecture.activation_buffer.capacity_bytes + (exponents.capacity_bytes if exponents else 0)

"""What events cost on an architecture in a technology: picojoules and square millimetres from published powers.

The technology gives the mean power of each part of a reference machine in one run. Divided by the clock it is energy
per cycle; divided by the bits that the run moves per cycle it is energy per bit.
"""

from dataclasses import dataclass

from ..formats import latency
from .architecture import Architecture, load_architecture
from .technology import Component, Technology


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Energy of one event of each kind, and the area of each part, on one architecture."""

    array_pj_per_cycle: float
    """All elements of the array, in a cycle in which they work."""
    support_pj_per_cycle: float
    """Compressor, vector unit and controller, in a cycle in which the array runs."""
    vector_pj_per_operation: float
    """One FP16 operation of a lane: taken as that of a multiply-accumulate of the FP16 array, which bounds it above."""
    sram_pj_per_bit: float
    dram_pj_per_bit: float
    dram_bits_per_cycle: float
    area_mm2: dict[str, float]


def unit_costs(architecture: Architecture, technology: Technology) -> UnitCosts:
    """Derive the costs.

    The array scales with its elements and their kind; compressor and vector unit with their lanes; buffer area with
    capacity. Buffer energy per bit does not depend on capacity here: the published powers are of one size.

    Raises:
        InputError: the technology has no such processing element.
    """
    reference = load_architecture(technology.reference.architecture)
    scale = _scales(architecture, reference)
    element = technology.element(architecture.processing_element.kind)
    published = technology.element(reference.processing_element.kind)
    parts = {
        "compressor": technology.compressor,
        "vector_unit": technology.vector_unit,
        "controller": technology.controller,
        "activation_buffer": technology.activation_buffer,
        "weight_buffer": technology.weight_buffer,
    }
    area = {name: part.area.value * scale[name] for name, part in parts.items()}
    array_scale = scale["array"] / published.area.value * element.area.value
    power_scale = scale["array"] / published.power.value * element.power.value
    support = sum(
        _pj_per_cycle(parts[name], reference) * scale[name] for name in ("compressor", "vector_unit", "controller")
    )
    element_macs = reference.group_size / latency.FP16_GROUP_CYCLES
    fp16_array = (
        _pj_per_cycle(technology.array, reference) / published.power.value * technology.element("fp-fp").power.value
    )
    return UnitCosts(
        vector_pj_per_operation=fp16_array / (reference.array.rows * reference.array.columns * element_macs),
        array_pj_per_cycle=_pj_per_cycle(technology.array, reference) * power_scale,
        support_pj_per_cycle=support,
        sram_pj_per_bit=sram_pj_per_bit(technology, reference),
        dram_pj_per_bit=technology.dram.energy.value,
        dram_bits_per_cycle=technology.dram.bandwidth.value * 8e9 / architecture.clock_hz,
        area_mm2={"array": technology.array.area.value * array_scale, **area},
    )


def sram_pj_per_bit(technology: Technology, reference: Architecture) -> float:
    """Buffer energy per bit: power of both buffers over the bits that both deliver in the published run.

    In each cycle the activation buffer delivers one plane of all rows, and over a group the exponents; over a group the
    weight buffer delivers the codes of all columns and their share of the scales. Both are 1024 bits wide and 1 MiB
    large, so they share one figure; taken apart, their powers would give 0.057 and 0.047 pJ/bit.
    """
    cycles = technology.reference.cycles_per_group.value
    group, array = reference.group_size, reference.array
    exponent_bits = reference.token_bits(group, 1) - reference.token_footprint(group, 1)[0]
    activation_bits = array.rows * (group * cycles + exponent_bits)
    scale_bits = reference.weights.scale_bits * group / reference.weights.group_size
    weight_bits = array.columns * (group * reference.weights.bits + scale_bits)
    pj = _pj_per_cycle(technology.activation_buffer, reference) + _pj_per_cycle(technology.weight_buffer, reference)
    return pj * cycles / (activation_bits + weight_bits)


def _pj_per_cycle(component: Component, reference: Architecture) -> float:
    return component.power.value * 1e9 / reference.clock_hz


def _scales(architecture: Architecture, reference: Architecture) -> dict[str, float]:
    """Size of each part over that of the reference machine."""
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
    return architecture.array.rows * architecture.array.columns * architecture.processing_element.lanes


def _activation_bytes(architecture: Architecture) -> int:
    exponents = architecture.exponent_buffer
    return architecture.activation_buffer.capacity_bytes + (exponents.capacity_bytes if exponents else 0)

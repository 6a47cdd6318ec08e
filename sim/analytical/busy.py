"""Busy cycles of each resource in one part of a model: the longest is the part's bound."""

from dataclasses import dataclass
from typing import Literal, Self

from ..config.processing_element import ProcessingElement
from ..mapping.mapped_gemm import MappedGemm
from .gemm import Traffic

Bound = Literal["compute", "dram", "sram port", "vector unit"]


@dataclass(frozen=True, slots=True)
class Busy:
    """Cycles in which each resource works for one part."""

    compute: float = 0.0
    """Elements of the array."""
    dram: float = 0.0
    sram_port: float = 0.0
    """The busiest port of the buffers."""
    vector_unit: float = 0.0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.compute + other.compute,
            self.dram + other.dram,
            self.sram_port + other.sram_port,
            self.vector_unit + other.vector_unit,
        )

    def __mul__(self, repeat: int) -> Self:
        return type(self)(self.compute * repeat, self.dram * repeat, self.sram_port * repeat, self.vector_unit * repeat)

    @property
    def bound(self) -> Bound:
        """The resource that works the longest."""
        cycles: dict[Bound, float] = {
            "compute": self.compute,
            "dram": self.dram,
            "sram port": self.sram_port,
            "vector unit": self.vector_unit,
        }
        return max(cycles, key=lambda name: cycles[name])

    @property
    def longest(self) -> float:
        """Cycles of the resource that works the longest."""
        return max(self.compute, self.dram, self.sram_port, self.vector_unit)

    def utilisation(self, cycles: int) -> float:
        """Share of a part's cycles in which its bound works; 0 for a part that is hidden behind another."""
        return min(self.longest / cycles, 1.0) if cycles else 0.0


def array_busy(
    element: ProcessingElement, mantissa_bits: int, weight_bits: int, load: int, array_cycles: float
) -> tuple[float, float]:
    """Cycles of the elements and of the weight buffer's port within some cycles of the array.

    A pass takes as long as its elements or as the stream of its weights, `load` cycles, whichever is longer.
    """
    taken = element.array_cycles(mantissa_bits, load, weight_bits)
    return array_cycles * element.working_cycles(mantissa_bits, weight_bits) / taken, array_cycles * load / taken


def gemm_busy(mapped: MappedGemm, array_cycles: int, moved: Traffic, dram_bits_per_cycle: float) -> Busy:
    """Busy cycles of one GeMM: array, DRAM, and the ports through which weights stream and operands arrive."""
    machine = mapped.architecture
    element, load = machine.processing_element, machine.digit_load_cycles
    if mapped.holds_outputs:
        compute, stream = array_busy(element, mapped.datapath_bits, machine.weights.value_bits, load, array_cycles)
    else:
        activations = max(moved.activation_reads, 2 * moved.sums) / machine.activation_buffer.port_bits
        compute, stream = mapped.busy_cycles, max(moved.weight_reads / machine.weight_buffer.port_bits, activations)
    fills = (
        moved.weights / machine.weight_buffer.port_bits,
        (moved.activations + 2 * moved.results) / machine.activation_buffer.port_bits,
    )
    return Busy(compute, moved.dram_bits / dram_bits_per_cycle, max(stream, *fills))

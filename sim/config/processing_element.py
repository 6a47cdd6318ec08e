"""Processing elements as data: lanes, operands and cycles of one element of the array."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ...formats.documents.schema import Config
from ...formats.latency.array import array_cycles_per_group
from ...formats.latency.elements import FP16_GROUP_CYCLES, WEIGHT_PLANE_CYCLES, pe_cycles_per_group
from ...formats.weights.int4 import BITS as INT4_BITS
from ...workloads.models.gemms import FP16_BITS

Timing = Literal["bit-serial", "fp16-rate", "mantissa-rate", "weight-serial"]


class ProcessingElement(Config):
    """One element of the array: `lanes` products of an activation with a weight, for one token and output channel.

    `timing` says how long it takes for a group of `lanes` channels:

    * ``bit-serial``: a cycle for the sign plane and one for each mantissa plane;
    * ``fp16-rate``: as long as the FP16 baseline, whatever the mantissa;
    * ``weight-serial``: a quarter of that for each bit of the weights, so as long for INT4;
    * ``mantissa-rate``: the array needs as many cycles as the operand has mantissa bits, 16/11 and 16/8 faster than
      FP16. This is how the published system-level speedups of FIGNA-M11 and FIGNA-M8 are counted; the published area
      and energy of one element are at the FP16 rate.

    An integer weight wider than the element's operand passes as digits, one after the other, each at these cycles.
    """

    kind: str
    """Name of its area and power in the technology file."""
    lanes: Literal[8, 16, 32, 64, 128]
    timing: Timing
    weight_operand: Literal["fp16", "int"]
    """Format of the weight operand: FP16, to which weights are converted, or an integer."""
    weight_bits: int = Field(default=INT4_BITS, ge=1, le=8)
    """Bits of an integer weight operand; 1 with ``weight-serial``."""
    mantissa_bits: int | Literal["variable"]
    """Significant bits of the activation operand; ``variable``: the precision that a run asks for."""
    midpoint: bool = False
    """True if a cut mantissa stands for the middle of its interval. This takes one more pass of the array."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.timing == "bit-serial") != (self.mantissa_bits == "variable"):
            raise ValueError("mantissa_bits: 'variable' needs timing: bit-serial; give a number with the other timings")
        if self.timing == "weight-serial" and (self.weight_operand, self.weight_bits) != ("int", 1):
            raise ValueError("weight_bits: timing weight-serial takes one bit at a time; use weight_operand: int and 1")
        if self.midpoint and self.timing != "bit-serial":
            raise ValueError("midpoint: needs timing: bit-serial; leave it out")
        if self.mantissa_bits != "variable" and not 1 <= self.mantissa_bits <= FP16_BITS:
            raise ValueError(f"mantissa_bits: {self.mantissa_bits} is out of range; use 1 to 16 or 'variable'")
        return self

    def element_cycles(self, mantissa_bits: int) -> int:
        """Cycles in which one element works for one digit of a group at its published power."""
        if self.timing == "bit-serial":
            return pe_cycles_per_group(mantissa_bits)
        return WEIGHT_PLANE_CYCLES if self.timing == "weight-serial" else FP16_GROUP_CYCLES

    def array_cycles(self, mantissa_bits: int, weight_load_cycles: int) -> int:
        """Cycles from one digit of a group to the next in the array, whose weights stream from the buffer."""
        if self.timing == "bit-serial":
            return array_cycles_per_group(mantissa_bits, weight_load_cycles)
        return max(self.working_cycles(mantissa_bits), weight_load_cycles)

    def working_cycles(self, mantissa_bits: int) -> int:
        """Cycles that one digit of a group takes if its operands are there."""
        return mantissa_bits if self.timing == "mantissa-rate" else self.element_cycles(mantissa_bits)

    def digits(self, weight_bits: int) -> int:
        """Passes for a weight of `weight_bits` bits; FP16 operands hold every weight."""
        return 1 if self.weight_operand == "fp16" else -(-weight_bits // self.weight_bits)

"""Work of the vector unit in one layer, in FP16 or in integers: operations, cycles, values and DRAM traffic."""

from dataclasses import dataclass
from typing import Literal, get_args

from ...formats.checks import check_choice
from ...workloads.models.gemms import FP16_BITS
from .busy import Busy
from .gemm import SramBits

VectorUnit = Literal["fp16", "integer"]
"""Arithmetic of the lanes: FP16, or integers only as in I-LLM (arXiv 2405.17849)."""


@dataclass(frozen=True, slots=True)
class VectorWork:
    """One kind of work in one layer."""

    name: str
    operations: dict[str, int]
    """Lane operations by kind: ``fp16``, or ``add`` and ``multiply`` in integers."""
    cycles: int
    """Cycles of the unit, without the latency of its pipeline (`VECTOR_PIPELINE_CYCLES`)."""
    values: int
    """Values read through the activation buffer's port; second operands come from the array or from their own memory."""
    results: int
    """Values written to the activation buffer."""
    loads: int = 0
    """Bits loaded from DRAM; 0 where the traffic of the vector unit is not counted."""
    stores: int = 0
    """Bits stored in DRAM."""

    @property
    def total(self) -> int:
        """Operations of all kinds."""
        return sum(self.operations.values())

    @property
    def dram_bits(self) -> int:
        """DRAM traffic in bits."""
        return self.loads + self.stores

    @property
    def read_bits(self) -> int:
        """Bits that the lanes read from the activation buffer, through the port of the half that they work on."""
        return self.values * FP16_BITS

    @property
    def fill_bits(self) -> int:
        """Bits through the port of the buffer's other half: results, loads and stores; 0 without DRAM traffic."""
        return self.results * FP16_BITS + self.dram_bits if self.dram_bits else 0

    @property
    def sram(self) -> SramBits:
        """Accesses of the activation buffer; none without DRAM traffic, since the published scope has none."""
        if not self.dram_bits:
            return SramBits()
        return SramBits(self.read_bits + self.stores, self.results * FP16_BITS + self.loads)

    def busy(self, port_bits: int, dram_bits_per_cycle: float) -> Busy:
        """Busy cycles of lanes, port and DRAM."""
        port = max(self.read_bits, self.fill_bits) / port_bits
        return Busy(0.0, self.dram_bits / dram_bits_per_cycle, port, self.cycles)


@dataclass(frozen=True, slots=True)
class TokenBits:
    """Bits of one token that the vector unit loads from DRAM and stores there, between the GeMMs of one layer.

    It loads what a GeMM has stored and stores what a GeMM will load. The residual stream is FP16.
    """

    stream: int
    """The residual stream."""
    inputs: dict[str, int]
    """Bits that the GeMM of each module loads; of experts, all that compute the token."""
    results: dict[str, int]
    """Bits that the GeMM of each module stores; of experts, all that compute the token."""
    rotated: int
    """Queries and keys, as ``qkv`` has stored them."""
    block_norms: int = 2
    """Norms of a block; 4 also take the results of ``o`` and ``d``, in FP16 on their way to the residual stream."""
    parallel: bool = False
    """True if both residuals are one sum."""
    experts: bool = False
    """True if outputs of experts are added up before they go to the residual stream."""

    @property
    def _branches(self) -> tuple[int, int]:
        """Outputs of the attention and of the FFN or the sum of the experts."""
        return self.results["o"], self.stream if self.experts else self.results["d"]

    def of(self, name: str) -> tuple[int, int]:
        """Bits of one token that a kind of work loads and stores; none for work beside the array, such as the softmax."""
        loads, stores = self.inputs, self.results
        match name:
            case "norms":
                after = self.block_norms == 4
                branches = (sum(self._branches), 2 * self.stream) if after else (0, 0)
                streams = min(self.block_norms, 2) * self.stream
                return streams + branches[0], loads["qkv"] + loads["u"] + branches[1]
            case "residuals":
                streams = (1 if self.parallel else 2) * self.stream
                branches = 2 * self.stream if self.block_norms == 4 else sum(self._branches)
                return streams + branches, streams
            case "activation":
                return stores["u"], loads["d"]
            case "expert sums":
                return stores["d"], self.stream
            case "rotation":
                return self.rotated, self.rotated
            case _:
                return 0, 0


@dataclass(frozen=True, slots=True)
class Scores:
    """Attention scores of one layer's softmax."""

    rows: int
    """Query rows of all heads."""
    scores: int
    """Attention scores of all heads."""
    vectors: int
    """Vectors of the unit's lanes that hold the scores; each row begins a new vector."""


def check_vector_unit(name: str) -> VectorUnit:
    """Check the name of a vector unit and return it.

    Raises
    ------
    InputError
        There is none.
    """
    return check_choice("vector_unit", name, get_args(VectorUnit))

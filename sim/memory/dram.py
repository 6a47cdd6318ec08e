"""External memory of the event model: it takes requests and returns the cycles in which each is served."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Tensor = Literal["activations", "weights", "results"]
"""Tensors in DRAM: results are written, the others read."""


PAGE_BITS = 8 * 8192
"""Alignment of a separately placed tensor: one row of all channels of an HBM2 stack, in bits."""


class Request(NamedTuple):
    """A contiguous piece of one tensor, moved in one transfer."""

    tensor: Tensor
    offset_bits: int
    """Start within the tensor, in bits."""
    bits: int
    place_bits: int | None = None
    """Start within the tensor's region of memory, in bits, if it is not the offset."""

    @property
    def place(self) -> int:
        """Start within the tensor's region of memory, in bits."""
        return self.offset_bits if self.place_bits is None else self.place_bits

    @property
    def write(self) -> bool:
        """True for a write to DRAM."""
        return self.tensor == "results"


class Served(NamedTuple):
    """Cycles that move the first and the last bits of a request; each counts at its end."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class DramReport:
    """Activity of the DRAM interface in one GeMM."""

    bits: int
    busy_cycles: float
    """Cycles in which data moved."""
    row_hits: int | None = None
    """Bursts that found their row open; None for a memory without rows."""
    row_misses: int | None = None

    @property
    def row_hit_rate(self) -> float | None:
        """Share of bursts that found their row open; None for a memory without rows."""
        if self.row_hits is None or self.row_misses is None:
            return None
        return self.row_hits / (self.row_hits + self.row_misses)

    def utilisation(self, cycles: int) -> float:
        """Share of `cycles` in which data moved."""
        return self.busy_cycles / cycles


class Dram(Protocol):
    """A memory that serves requests in order."""

    @property
    def infinite(self) -> bool:
        """True if the memory takes no time."""
        ...

    def serve(self, now: int, request: Request) -> Served:
        """Serve a request that is issued in cycle `now`, after all earlier requests."""
        ...

    def report(self) -> DramReport:
        """Activity so far."""
        ...


class FlatDram:
    """Constant bandwidth, no latency, no rows: the published HBM2 figure of 256 GB/s."""

    def __init__(self, bits_per_cycle: float) -> None:
        self.bits_per_cycle = bits_per_cycle
        self.free = 0.0
        self.bits = 0

    @property
    def infinite(self) -> bool:
        """True if the bandwidth is infinite."""
        return math.isinf(self.bits_per_cycle)

    def serve(self, now: int, request: Request) -> Served:
        """Take ``bits / bits_per_cycle`` cycles from the time the interface is free; fractions carry over."""
        start = max(self.free, now)
        self.free = start + request.bits / self.bits_per_cycle
        self.bits += request.bits
        return Served(math.ceil(start), math.ceil(self.free))

    def report(self) -> DramReport:
        """Bits moved and busy cycles so far."""
        return DramReport(self.bits, self.bits / self.bits_per_cycle)

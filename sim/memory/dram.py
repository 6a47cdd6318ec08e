"""External memory as the event model sees it: requests in, the cycle in which each is served out."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Tensor = Literal["activations", "weights", "results"]
"""What moves; results are written, the others read."""


PAGE_BITS = 8 * 8192
"""What begins in memory without regard to what is before it begins here: a row of all channels of an HBM2 stack."""


class Request(NamedTuple):
    """A contiguous piece of one tensor that moves at once."""

    tensor: Tensor
    offset_bits: int
    """Where in the tensor it begins."""
    bits: int
    place_bits: int | None = None
    """Where in memory it begins, if not at its offset: in room enough for the longest mantissas."""

    @property
    def place(self) -> int:
        """Where in the tensor's part of memory it begins, in bits."""
        return self.offset_bits if self.place_bits is None else self.place_bits

    @property
    def write(self) -> bool:
        """Whether it goes to DRAM."""
        return self.tensor == "results"


class Served(NamedTuple):
    """When a request moved: ends of the cycles in which its first and its last bits did."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class DramReport:
    """What the interface did in one GeMM."""

    bits: int
    busy_cycles: float
    """Cycles in which data moved."""
    row_hits: int | None = None
    """Bursts that found their row open; None for a model without rows."""
    row_misses: int | None = None

    @property
    def row_hit_rate(self) -> float | None:
        """Share of bursts that found their row open."""
        if self.row_hits is None or self.row_misses is None:
            return None
        return self.row_hits / (self.row_hits + self.row_misses)

    def utilisation(self, cycles: int) -> float:
        """Share of `cycles` in which data moved."""
        return self.busy_cycles / cycles


class Dram(Protocol):
    """A memory interface that serves one request after the other."""

    @property
    def infinite(self) -> bool:
        """Whether nobody ever waits for it."""
        ...

    def serve(self, now: int, request: Request) -> Served:
        """Serve the next request, asked for in cycle `now`, when those before it are done."""
        ...

    def report(self) -> DramReport:
        """What it has done so far."""
        ...


class FlatDram:
    """Constant bandwidth, no latency, no rows: the published HBM2 figure of 256 GB/s."""

    def __init__(self, bits_per_cycle: float) -> None:
        self.bits_per_cycle = bits_per_cycle
        self.free = 0.0
        self.bits = 0

    @property
    def infinite(self) -> bool:
        """Whether its bandwidth is infinite."""
        return math.isinf(self.bits_per_cycle)

    def serve(self, now: int, request: Request) -> Served:
        """Take ``bits / bits_per_cycle`` cycles from when the interface is free; fractions carry over."""
        start = max(self.free, now)
        self.free = start + request.bits / self.bits_per_cycle
        self.bits += request.bits
        return Served(math.ceil(start), math.ceil(self.free))

    def report(self) -> DramReport:
        """Bits moved and the time that they took."""
        return DramReport(self.bits, self.bits / self.bits_per_cycle)

"""HBM with channels, banks, rows, refresh and turnaround, as an interface of the event model.

Each channel keeps its bus, its banks' open rows and from when they may be opened, closed and used. A request is cut
into the rows that it touches, and each is served in its channel in the order of the requests. A row is opened ahead of
its data, as early as the request is known and the bank allows. Time is in nanoseconds.
"""

import math
from collections import deque
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from .config import Bits, Bytes, Config, config_names, find_config, load_config
from .constants import Constant, unit
from .dram import DramReport, Request, Served, Tensor

FOLDER = Path(__file__).with_name("memory")

Nanoseconds = Annotated[Constant, unit("ns")]
DataRate = Annotated[Constant, unit("Gb/s")]


class Timing(Config):
    """JEDEC timing parameters."""

    data_rate: DataRate
    """Of one data pin."""
    t_rcd: Nanoseconds = Field(alias="tRCD")
    t_rp: Nanoseconds = Field(alias="tRP")
    t_ras: Nanoseconds = Field(alias="tRAS")
    t_rrd: Nanoseconds = Field(alias="tRRD")
    t_faw: Nanoseconds = Field(alias="tFAW")
    cl: Nanoseconds = Field(alias="CL")
    cwl: Nanoseconds = Field(alias="CWL")
    t_rtp: Nanoseconds = Field(alias="tRTP")
    t_wr: Nanoseconds = Field(alias="tWR")
    t_wtr: Nanoseconds = Field(alias="tWTR")
    bus_turn: Nanoseconds
    t_rfc: Nanoseconds = Field(alias="tRFC")
    t_refi: Nanoseconds = Field(alias="tREFI")


class Memory(Config):
    """A stack: its organisation and its timing."""

    name: str
    title: str
    source: str
    channels: int = Field(ge=1)
    banks: int = Field(ge=1)
    channel_width: Bits
    burst_length: int = Field(ge=1)
    row_bytes: Bytes = Field(alias="row")
    timing: Timing

    @property
    def burst_bytes(self) -> int:
        """Bytes of one burst of one channel."""
        return self.channel_width * self.burst_length // 8

    @property
    def burst_ns(self) -> float:
        """Time of one burst on the bus of its channel."""
        return self.burst_length / self.timing.data_rate.value

    @property
    def bytes_per_ns(self) -> float:
        """Peak bandwidth of all channels, which is also GB/s."""
        return self.channels * self.burst_bytes / self.burst_ns


def memory_names() -> list[str]:
    """The built-in memories."""
    return list(config_names(FOLDER))


def load_memory(name: str | Path) -> Memory:
    """A built-in memory by name, or one's own by the path of its YAML file.

    Raises:
        InputError: there is no such memory, or its file has an unknown key or a bad value.
    """
    path = find_config(name, FOLDER, "memory")
    return _load_builtin(path) if path.parent == FOLDER else load_config(Memory, path, "memory")


@cache
def _load_builtin(path: Path) -> Memory:
    return load_config(Memory, path, "memory")


@dataclass(frozen=True, slots=True)
class Nanosecond:
    """The timing parameters as bare numbers, for the inner loop."""

    t_rcd: float
    t_rp: float
    t_ras: float
    t_rrd: float
    t_faw: float
    cl: float
    cwl: float
    t_rtp: float
    t_wr: float
    t_wtr: float
    bus_turn: float
    t_rfc: float
    t_refi: float

    @classmethod
    def of(cls, timing: Timing) -> Self:
        """Drop units and sources."""
        return cls(**{name.name: getattr(timing, name.name).value for name in fields(cls)})


@dataclass(slots=True)
class Bank:
    """What a bank remembers."""

    row: int | None = None
    """The open row."""
    column_at: float = 0.0
    """From when the open row can be read or written."""
    precharge_at: float = 0.0
    """From when the open row can be closed."""


@dataclass(slots=True)
class Channel:
    """What a channel remembers."""

    banks: list[Bank]
    refresh_at: float
    """When the next refresh is due."""
    closed_until: float = 0.0
    """No bank can be opened before: a refresh."""
    bus_free: float = 0.0
    writing: bool = False
    """Whether the last transfer was a write."""
    activations: deque[float] = field(default_factory=lambda: deque([-math.inf] * 4, maxlen=4))
    """The last four, for tFAW."""


class HbmDram:
    """A stack behind the machine's loaders and writer: requests in order, rows left open.

    The tensors lie one after the other, each from a row of the first channel and bank on.
    """

    def __init__(self, memory: Memory, clock_hz: float, tensor_bits: dict[Tensor, int]) -> None:
        self.memory = memory
        self.timing = Nanosecond.of(memory.timing)
        self.burst_ns, self.burst_bytes = memory.burst_ns, memory.burst_bytes
        self.cycles_per_ns = clock_hz / 1e9
        due = self.timing.t_refi
        self.channels = [Channel([Bank() for _ in range(memory.banks)], due) for _ in range(memory.channels)]
        self.origin: dict[Tensor, int] = {}
        stripe, end = memory.row_bytes * memory.channels * memory.banks, 0
        for tensor, bits in tensor_bits.items():
            self.origin[tensor] = end
            end += -(-bits // (8 * stripe)) * stripe
        self.bits = self.hits = self.misses = 0
        self.busy_ns = 0.0

    infinite = False

    def serve(self, now: int, request: Request) -> Served:
        """Cut the request into rows and serve each in its channel, when those before it are done there."""
        row_bytes, channels, burst_bytes = self.memory.row_bytes, self.memory.channels, self.burst_bytes
        asked = done = now / self.cycles_per_ns
        began, write = math.inf, request.write
        origin = self.origin[request.tensor]
        start, stop = origin + request.offset_bits // 8, origin + -(-(request.offset_bits + request.bits) // 8)
        while start < stop:
            index, within = divmod(start, row_bytes)
            size = row_bytes - within
            if size > stop - start:
                size = stop - start
            bursts = -(-(within % burst_bytes + size) // burst_bytes)
            first, last = self._serve_row(index % channels, index // channels, bursts, write, asked)
            if first < began:
                began = first
            if last > done:
                done = last
            start += size
        self.bits += request.bits
        return Served(math.ceil(began * self.cycles_per_ns), math.ceil(done * self.cycles_per_ns))

    def report(self) -> DramReport:
        """Bits, time on the buses as a share of all channels, and how the bursts found their rows."""
        busy = self.busy_ns / len(self.channels) * self.cycles_per_ns
        return DramReport(self.bits, busy, self.hits, self.misses)

    def _serve_row(self, channel_index: int, index: int, bursts: int, write: bool, asked: float) -> tuple[float, float]:
        """Move bursts of one row; when the first begins and the last ends on the bus."""
        timing, channel = self.timing, self.channels[channel_index]
        row, bank_index = divmod(index, self.memory.banks)
        bank, free = channel.banks[bank_index], channel.bus_free
        now = asked if asked > free else free
        if now >= channel.refresh_at:
            self._refresh(channel, now)
        if bank.row != row:
            self._activate(channel, bank, row, asked)
            self.misses += 1
            self.hits -= 1
        latency = timing.cwl if write else timing.cl
        if write != channel.writing:
            free += timing.bus_turn if write else timing.t_wtr + timing.cl
            channel.writing = write
        ready = (asked if asked > bank.column_at else bank.column_at) + latency
        start = free if free > ready else ready
        stop = start + bursts * self.burst_ns
        closing = stop + timing.t_wr if write else stop - self.burst_ns - latency + timing.t_rtp
        if closing > bank.precharge_at:
            bank.precharge_at = closing
        channel.bus_free = stop
        self.hits += bursts
        self.busy_ns += stop - start
        return start, stop

    def _activate(self, channel: Channel, bank: Bank, row: int, asked: float) -> None:
        """Close the open row, if any, and open another, as early as the request is known and the timings allow."""
        timing = self.timing
        ready = max(asked, channel.closed_until)
        if bank.row is not None:
            ready = max(ready, max(asked, bank.precharge_at) + timing.t_rp)
        last, fourth_last = channel.activations[-1], channel.activations[0]
        at = max(ready, last + timing.t_rrd, fourth_last + timing.t_faw)
        channel.activations.append(at)
        bank.row = row
        bank.column_at = at + timing.t_rcd
        bank.precharge_at = at + timing.t_ras

    def _refresh(self, channel: Channel, now: float) -> None:
        """Refresh all banks: they close, and the channel waits. Refreshes missed while idle are done."""
        timing = self.timing
        missed = int((now - channel.refresh_at) // timing.t_refi)
        channel.refresh_at += missed * timing.t_refi
        idle = [bank.precharge_at for bank in channel.banks if bank.row is not None]
        start = max(channel.refresh_at, channel.bus_free, max(idle, default=0.0) + timing.t_rp)
        channel.closed_until = start + timing.t_rfc
        channel.refresh_at += timing.t_refi
        for bank in channel.banks:
            bank.row = None

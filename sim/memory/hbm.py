"""DRAM with channels, banks, rows, refresh and turnaround, as a memory of the event model: HBM2, LPDDR5, DDR5.

Bursts are interleaved over the channels, so that all channels are equally busy. They run in lockstep, and only one is
simulated: its bus, the open rows of its banks, and the earliest times at which these may be opened, closed and used. A
request is split into rows, which are served in order. A row is opened before its data is needed, as early as the request
is known and the bank allows. Time is in nanoseconds.

Refresh takes its share of the busy bus, `tRFC` of every `tREFI`. A channel may postpone refreshes until it is idle, or
refresh one bank while others work; this share remains. So the time of a request depends only on earlier requests, never on
where it meets a refresh: a request that comes earlier, or is shorter, never takes longer.
"""

import math
from collections import deque
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Self, get_args

from pydantic import Field, model_validator

from ...formats import InputError
from ...formats.documents.schema import Config, Name
from ..config.constants import Constant, unit
from ..config.technology import DramConfig
from ..config.yaml_config import Bits, Bytes, config_names, find_config, load_config
from .background import BackgroundPower, MemoryCurrents
from .dram import DramReport, Request, Served, Tensor

FOLDER = Path(__file__).parent

Nanoseconds = Annotated[Constant, unit("ns")]
DataRate = Annotated[Constant, unit("Gb/s")]
EnergyPerBit = Annotated[Constant, unit("pJ/bit")]


class HbmTiming(Config):
    """JEDEC timing parameters."""

    data_rate: DataRate
    """Data rate of one pin."""
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

    @model_validator(mode="after")
    def _refreshes_end(self) -> Self:
        if self.t_refi.value <= self.t_rfc.value:
            raise ValueError(f"tREFI is {self.t_refi.value:g} ns; give more than tRFC, {self.t_rfc.value:g} ns")
        return self


class Memory(Config):
    """A DRAM: its organisation, timing and energy."""

    name: Name
    title: str
    source: str
    channels: int = Field(ge=1)
    banks: int = Field(ge=1)
    channel_width: Bits
    burst_length: int = Field(ge=1)
    row_bytes: Bytes = Field(alias="row")
    capacity_bytes: Bytes | None = Field(default=None, alias="capacity")
    """Capacity of all channels; None if it is not stated, so that any model fits."""
    timing: HbmTiming
    energy: EnergyPerBit | None = None
    """Energy of a bit that moves, row openings included; None takes the technology's."""
    background: MemoryCurrents | None = None
    """Currents of standby and refresh; None if they are unknown."""

    @property
    def burst_bytes(self) -> int:
        """Bytes of one burst of one channel."""
        return self.channel_width * self.burst_length // 8

    def figures(self, dram: DramConfig) -> DramConfig:
        """Bandwidth that refreshes leave, and energy of a bit, in place of a technology's."""
        timing = self.timing
        share = 1 - timing.t_rfc.value / timing.t_refi.value
        peak = self.channels * self.channel_width * timing.data_rate.value / 8
        source = f"memory {self.name}: channels x width x data rate, less refreshes"
        bandwidth = timing.data_rate.model_copy(update={"value": peak * share, "unit": "GB/s", "source": source})
        return DramConfig(bandwidth=bandwidth, energy=self.energy or dram.energy, memory=dram.memory)

    @property
    def background_power(self) -> BackgroundPower:
        """Power of standby and refresh of all channels.

        Raises
        ------
        InputError
            The memory has no currents.
        """
        if self.background is None:
            raise InputError(f"dram_background: memory {self.name} has no currents; add background or use off")
        refreshing = self.timing.t_rfc.value / self.timing.t_refi.value
        return self.background.power(self.channels, refreshing)

    @property
    def burst_ns(self) -> float:
        """Time of one burst on the bus of its channel."""
        return self.burst_length / self.timing.data_rate.value


def memory_names() -> list[str]:
    """The built-in memories."""
    return list(config_names(FOLDER))


def load_memory(name: str | Path) -> Memory:
    """A built-in memory by name, or your own by the path of its YAML file.

    Raises
    ------
    InputError
        There is no such memory, or its file has an unknown key or a bad value.
    """
    path = find_config(name, FOLDER, "memory")
    return _load_builtin(path) if path.parent == FOLDER else load_config(Memory, path, "memory")


@cache
def _load_builtin(path: Path) -> Memory:
    return load_config(Memory, path, "memory")


@dataclass(frozen=True, slots=True)
class Nanosecond:
    """Timing parameters as plain numbers in nanoseconds, for the inner loop."""

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
    def of(cls, timing: HbmTiming) -> Self:
        """Numbers of the parameters, without units and sources."""
        return cls(**{name.name: getattr(timing, name.name).value for name in fields(cls)})


@dataclass(slots=True)
class Bank:
    """State of one bank; times in nanoseconds."""

    row: int | None = None
    """The open row."""
    column_at: float = 0.0
    """Earliest time to read or write the open row."""
    precharge_at: float = 0.0
    """Earliest time to close the open row."""


class HbmDram:
    """A DRAM that serves requests in order and leaves rows open.

    Each tensor has its own region of memory, which begins at a row of the first bank. A row spans all channels.
    """

    infinite = False

    def __init__(self, memory: Memory, clock_hz: float) -> None:
        timing = Nanosecond.of(memory.timing)
        self.memory, self.timing = memory, timing
        self.cycles_per_ns = clock_hz / 1e9
        self.burst_ns = memory.burst_ns / (1 - timing.t_rfc / timing.t_refi)
        self.burst_bits = 8 * memory.channels * memory.burst_bytes
        self.row_bursts = memory.row_bytes // memory.burst_bytes
        row_ns = self.row_bursts * self.burst_ns
        self.streams = row_ns >= max(timing.t_rrd, timing.t_faw / 4, timing.t_ras - timing.t_rcd) and 2 * row_ns >= (
            timing.t_wr + timing.t_rp + timing.t_rcd + timing.cl
        )
        """True if the transfer of two rows hides the opening of the next one."""
        self.banks = [Bank() for _ in range(memory.banks)]
        self.activations: deque[float] = deque([-math.inf] * 4, maxlen=4)
        """Times of the last four row openings, for tFAW."""
        self.bus_free = 0.0
        self.writing = False
        """True if the last transfer was a write."""
        region = self.row_bursts * self.burst_bits * memory.banks << 40
        self.origin: dict[Tensor, int] = {tensor: index * region for index, tensor in enumerate(get_args(Tensor))}
        self.bits = self.bursts = self.misses = 0

    def serve(self, now: int, request: Request) -> Served:
        """Split the request into rows and serve them after all earlier requests."""
        asked, write, timing, banks = now / self.cycles_per_ns, request.write, self.timing, self.banks
        begin = self.origin[request.tensor] + request.place
        first, stop = begin // self.burst_bits, -(-(begin + request.bits) // self.burst_bits)
        latency = timing.cwl if write else timing.cl
        closing = timing.t_wr if write else timing.t_rtp - self.burst_ns - latency
        free = self.bus_free
        if write != self.writing:
            free += timing.bus_turn if write else timing.t_wtr + timing.cl
            self.writing = write
        began, burst, count = math.inf, first, len(banks)
        while burst < stop:
            index = burst // self.row_bursts
            end = min((index + 1) * self.row_bursts, stop)
            row, which = divmod(index, count)
            bank = banks[which]
            if bank.row != row:
                self._activate(bank, row, asked)
            start = max(free, max(asked, bank.column_at) + latency)
            free = start + (end - burst) * self.burst_ns
            bank.precharge_at = max(bank.precharge_at, free + closing)
            began, burst = min(began, start), end
            if end == (index + 1) * self.row_bursts and index > first // self.row_bursts + 1 and self.streams:
                free, burst = self._stream(index + 1, stop // self.row_bursts, free, latency, closing)
        self.bus_free = free
        self.bursts += stop - first
        self.bits += request.bits
        return Served(math.ceil(began * self.cycles_per_ns), math.ceil(free * self.cycles_per_ns))

    def _stream(self, index: int, stop: int, free: float, latency: float, closing: float) -> tuple[float, int]:
        """Serve whole rows from the third row of a request on: only the bus limits them, rows open just in time."""
        count, row_ns = len(self.banks), self.row_bursts * self.burst_ns
        for number in range(index, stop):
            row, which = divmod(number, count)
            bank = self.banks[which]
            if bank.row != row:
                self._open(bank, row, free - latency - self.timing.t_rcd)
            free += row_ns
            bank.precharge_at = free + closing
        return free, max(stop, index) * self.row_bursts

    def report(self) -> DramReport:
        """Bits moved, busy time of the bus, and row hits and misses of the bursts of all channels."""
        channels = self.memory.channels
        busy = self.bursts * self.memory.burst_ns * self.cycles_per_ns
        return DramReport(self.bits, busy, channels * (self.bursts - self.misses), channels * self.misses)

    def _activate(self, bank: Bank, row: int, asked: float) -> None:
        """Close the open row, if any, and open another as early as the request and the timings allow."""
        timing, ready = self.timing, asked
        if bank.row is not None:
            ready = (asked if asked > bank.precharge_at else bank.precharge_at) + timing.t_rp
        last, fourth_last = self.activations[-1] + timing.t_rrd, self.activations[0] + timing.t_faw
        self._open(bank, row, max(ready, last, fourth_last))

    def _open(self, bank: Bank, row: int, at: float) -> None:
        self.activations.append(at)
        bank.row = row
        bank.column_at = at + self.timing.t_rcd
        bank.precharge_at = at + self.timing.t_ras
        self.misses += 1

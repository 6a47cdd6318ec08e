"""The event model of one GeMM: SimPy processes that hand strips to each other and wait for each other.

A DMA channel for each operand fetches strips over the shared DRAM interface and through the port of its buffer, as far
ahead as the buffer has room. The dispatcher waits for strips and gives the array its steps; the array frees the room of
strips that are used up. Results pass the output collector and the compressor into the activation buffer, and a third DMA
channel stores them. The channels use the memory in the fixed order of the schedule. An event is a strip or a step of the
array, never a bit or a cycle; time is in whole cycles. With an infinitely fast memory no process waits, and the cycles are
exactly those of level `analytical`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, get_args

from ...formats.latency.array import bpc_cycles_per_block
from ..mapping.mapped_gemm import MappedGemm
from ..memory.dram import Dram, DramReport, Request
from ..processes.timeline import Timeline
from ..processes.units import BufferSlots, Channel, DeadlockError, MemoryPort, Process, Turns, Units
from ..schedule.arbitration import DmaChannel
from ..schedule.steps import OutputBlock, ScheduleStep
from ..schedule.tile_schedule import RESULT_PLACES, Load, TileSchedule

__all__ = ["DeadlockError", "EventReport", "EventSimulation", "Waiting", "run_events"]

ALWAYS = 1 << 62
"""More turns than any channel takes: no process ever waits for one."""


@dataclass(slots=True)
class Waiting:
    """Cycles in which the array waited, by cause."""

    resident: int = 0
    stream: int = 0
    results: int = 0
    """Cycles in which the array waited for a place for its results."""


@dataclass(frozen=True, slots=True)
class EventReport:
    """Cycles, waits and utilisation of one GeMM."""

    cycles: int
    """Cycles from the first fetch to the last stored result."""
    waiting: Waiting
    dram: DramReport
    ports: dict[str, float]
    """Share of the cycles in which each buffer's filling port was busy."""


class PendingResults(NamedTuple):
    """Results on their way to DRAM."""

    cycle: int
    """Cycle in which the previous unit finished the last of them."""
    requests: list[Request]
    """Their places in DRAM."""
    bits: int


def run_events(mapped: MappedGemm, schedule: TileSchedule, dram: Dram, timeline: Timeline | None = None) -> EventReport:
    """Run one GeMM, and record the activity of the units in a timeline if one is given.

    Raises
    ------
    DeadlockError
        No process can continue; the schedule takes more than it frees.
    """
    return EventSimulation(mapped, schedule, dram, timeline).run_gemm()


class EventSimulation(Units):
    """Units of the accelerator as processes, and the buffers between them."""

    def __init__(
        self, mapped: MappedGemm, schedule: TileSchedule, dram: Dram, timeline: Timeline | None = None
    ) -> None:
        super().__init__()
        self.timeline = timeline
        self.mapped = mapped
        self.schedule = schedule
        self.dram = dram
        machine = mapped.architecture
        # with an infinitely fast memory, ports and turns never make a process wait either
        infinite = dram.infinite
        turns = {channel: self.slots("its turn at the memory", ALWAYS * infinite) for channel in get_args(DmaChannel)}
        self.turns = Turns(turns, () if infinite else schedule.turns())
        ports = {"activations": machine.activation_buffer.port_bits, "weights": machine.weight_buffer.port_bits}
        self.ports = {tensor: MemoryPort(math.inf if infinite else bits) for tensor, bits in ports.items()}
        resident, stream = schedule.resident_tensor, schedule.stream_tensor
        self.resident = self.buffer(f"resident {resident}", schedule.resident_places, self.ports[resident])
        self.stream = self.buffer(f"streamed {stream}", schedule.stream_places, self.ports[stream])
        self.commands = self.slots("a command")
        self.steps = self.slots("a step")
        self.array_ready = self.slots("the array")
        self.step: ScheduleStep | None = None
        self.outputs_end: int | None = None
        """Cycle in which the array finished the last tile with outputs that leave it; None before the first."""
        self.late = "stream"
        """The operand that the dispatcher waited for last."""
        self.result_places = self.slots("a place for results", RESULT_PLACES)
        results = (self.slots(f"results of the {unit}") for unit in ("array", "collector", "compressor"))
        self.computed, self.collected, self.compressed = (Channel[PendingResults | None](each) for each in results)
        """Results between units; None marks the end."""
        self.waiting = Waiting()

    def run_gemm(self) -> EventReport:
        """Start all units and run until the last result is stored."""
        cycles = self.run(
            self._control(),
            self._load("resident", self.schedule.resident_loads(), self.resident),
            self._load("stream", self.schedule.stream_loads(), self.stream),
            self._dispatch(),
            self._multiply(),
            self._collect(),
            self._compress(),
            self._write(),
        )
        ports = {tensor: port.utilisation(cycles) for tensor, port in self.ports.items()}
        return EventReport(cycles, self.waiting, self.dram.report(), ports)

    def _control(self) -> Process:
        """Give the dispatcher its command; loads need none, since their addresses are known."""
        self.commands.give()
        yield from ()

    def _load(self, channel: DmaChannel, loads: Iterable[Load], buffer: BufferSlots) -> Process:
        """A DMA channel: fetch strips in order, each once its buffer has a place and its turn has come."""
        timeline, who = self.timeline, f"loader of {buffer.name}"
        for load in loads:
            if wait := buffer.places.take(who):
                yield wait
            for request in load:
                if wait := self.turns.take(channel, who):
                    yield wait
                now = self.now
                served = self.dram.serve(now, request)
                self.turns.end()
                stop = max(served.stop, buffer.port.serve(served.start, request.bits).stop)
                if stop > now:
                    yield self.until(stop)
                buffer.strips.give()
                if timeline:
                    timeline.transfer(f"loader of {request.tensor}", "strip", served.start, stop, request.bits)
            if timeline:
                timeline.filled(load[0].tensor, sum(request.bits for request in load), self.now)

    def _dispatch(self) -> Process:
        """The dispatcher: wait for the operands of each step, and give the step to the array when it is ready."""
        if wait := self.commands.take("dispatcher"):
            yield wait
        start = self.mapped.start_cycles
        for step in self.schedule.steps():
            if step.takes_resident and (wait := self.resident.strips.take("dispatcher")):
                self.late = "resident"
                yield wait
            if step.takes_stream and (wait := self.stream.strips.take("dispatcher")):
                self.late = "stream"
                yield wait
            if start:
                began, start = self.now, 0
                yield self.until(began + self.mapped.start_cycles)
                if self.timeline:
                    self.timeline.span("dispatcher", "fill", began, self.now)
            if wait := self.array_ready.take("dispatcher"):
                yield wait
            self.step = step
            self.steps.give()
        if wait := self.array_ready.take("dispatcher"):
            yield wait
        self.step = None
        self.steps.give()

    def _multiply(self) -> Process:
        """The array: take a step, work, free the strips that are used up, hand on the results."""
        filling = self.mapped.start_cycles
        while True:
            self.array_ready.give()
            if wait := self.steps.take("array"):
                began = self.now
                yield wait
                self._note_wait(self.late, began, self.now - filling)
            if (step := self.step) is None:
                break
            began, filling = self.now, 0
            if step.sums_bits:
                self.ports["activations"].serve(began, step.sums_bits)
            yield self.until(self._step_end(step))
            if step.frees_resident:
                self.resident.places.give(step.frees_resident)
            if step.frees_stream:
                self.stream.places.give()
            if self.timeline:
                self._note_step(step, began, self.timeline)
            if step.block is not None:
                done = self.now
                if wait := self.result_places.take("array"):
                    yield wait
                    self._note_wait("results", done, self.now)
                self.computed.put(self._result(step.block))
        self.computed.put(None)

    def _step_end(self, step: ScheduleStep) -> int:
        """Cycle in which the array finishes a step: not before the outputs of the tile before have left."""
        if self.outputs_end is None:  # nothing delays the first tile
            mapped = self.mapped
            spared = step.spacing - step.cycles if step.sums_bits else mapped.tile_cycles - mapped.reduction_cycles
            self.outputs_end = self.now - spared
        end = self.now + step.cycles
        if step.spacing:
            end = self.outputs_end = max(end, self.outputs_end + step.spacing)
        return end

    def _result(self, block: OutputBlock) -> PendingResults:
        requests = list(self.schedule.result_requests(block))
        return PendingResults(self.now, requests, sum(request.bits for request in requests))

    def _note_wait(self, what: str, began: int, stop: int) -> None:
        if stop <= began:
            return
        setattr(self.waiting, what, getattr(self.waiting, what) + stop - began)
        if self.timeline:
            buffers = {"resident": self.resident.name, "stream": self.stream.name, "results": "a place for results"}
            self.timeline.span("array", f"wait for {buffers[what]}", began, stop)

    def _note_step(self, step: ScheduleStep, began: int, timeline: Timeline) -> None:
        now, details = self.now, {}
        if step.block is not None:
            tokens, channels = step.block
            details = {"tokens": f"{tokens.start}..{tokens.stop}", "channels": f"{channels.start}..{channels.stop}"}
        timeline.span("dispatcher", "planes and weights", began, now)
        timeline.span("array", "multiply", began, now, **details)
        timeline.freed(self.schedule.resident_tensor, step.frees_resident, now)
        timeline.freed(self.schedule.stream_tensor, int(step.frees_stream), now)

    def _collect(self) -> Process:
        """The collector: gather a block's last columns and send them.

        It is as fast as the array, so the earlier tiles of a block have left when the last tile comes.
        """
        while True:
            if (item := (yield from self.computed.get("collector"))) is None:
                break
            sent = item.cycle + self.mapped.tail_cycles - self.mapped.compress_cycles
            if sent > self.now:
                yield self.until(sent)
            if self.timeline:
                self.timeline.span("collector", "last tile", item.cycle, item.cycle + self.mapped.collect_cycles)
            self.collected.put(item._replace(cycle=sent))
        self.collected.put(None)

    def _compress(self) -> Process:
        """The compressor; FP16 results pass it without delay."""
        bits = self.mapped.result_mantissa_bits
        while True:
            if (item := (yield from self.collected.get("compressor"))) is None:
                break
            sent = item.cycle
            done = sent + self.mapped.compress_cycles
            if done > self.now:
                yield self.until(done)
            if self.timeline and bits is not None:
                rows = self.mapped.architecture.array.rows
                began = max(done - bpc_cycles_per_block(bits, rows), sent - rows)
                self.timeline.span("compressor", "last groups", began, done)
            self.compressed.put(item)
        self.compressed.put(None)

    def _write(self) -> Process:
        """The DMA channel of the results: into the activation buffer, out of it, and into DRAM."""
        while True:
            if (item := (yield from self.compressed.get("writer"))) is None:
                return
            if wait := self.turns.take("results", "writer"):
                yield wait
            yield from self._store(item)
            self.result_places.give()

    def _store(self, results: PendingResults) -> Process:
        now = self.now
        served = [self.dram.serve(now, request) for request in results.requests]
        passed = self.ports["activations"].serve(now, 2 * results.bits)
        self.turns.end()
        if not served:
            return
        stop = max(passed.stop, *(each.stop for each in served))
        if stop > now:
            yield self.until(stop)
        if self.timeline:
            start = min(each.start for each in served)
            self.timeline.transfer("writer", "results", start, stop, results.bits)

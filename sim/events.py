"""The event model of one GeMM: processes that hand strips to each other and wait for each other (SimPy).

A loader per operand fetches strips over the shared DRAM interface, as far ahead as its buffer has room. The array takes
strips when they are there and frees their room when they are used up. Results pass the output collector and the
compressor, and a writer stores them. One event is a strip or a step of the array, never a bit or a cycle; time is in
whole cycles. With an infinitely fast memory nobody waits, and the closed form comes out exactly.
"""

from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

import simpy

from ..formats import latency
from .dram import Dram, DramReport, Request
from .plan import Block, Plan, Step
from .problem import Problem
from .timeline import Timeline

Process = Generator[simpy.Event, None, None]

RESULT_PLACES = 4
"""Steps whose results are under way: one in the collector, one in the compressor, two on their way to DRAM."""


class DeadlockError(RuntimeError):
    """All processes wait for each other; the message says who waits for whom."""


@dataclass(slots=True)
class Waiting:
    """Cycles that the array has waited, by what for."""

    resident: int = 0
    stream: int = 0
    results: int = 0
    """For a place to put results."""


@dataclass(frozen=True, slots=True)
class EventReport:
    """What the event model saw in one GeMM."""

    cycles: int
    """From the first fetch to the last stored result."""
    waiting: Waiting
    dram: DramReport


class Slots:
    """Things that one process gives and another takes, such as free places or filled strips.

    Taking what is there costs no event; only waiting does.
    """

    def __init__(self, environment: simpy.Environment, name: str, count: int = 0) -> None:
        self.environment = environment
        self.name = name
        self.count = count
        self.taker: str | None = None
        self.wanted: simpy.Event | None = None

    def take(self, taker: str) -> simpy.Event | None:
        """Take one; an event to wait for if there is none yet. One process takes."""
        if self.count:
            self.count -= 1
            return None
        self.taker = taker
        self.wanted = self.environment.event()
        return self.wanted

    def give(self, count: int = 1) -> None:
        """Add some, and let the taker go on if it waits."""
        self.count += count
        if self.wanted is not None and self.count:
            self.count -= 1
            wanted, self.wanted = self.wanted, None
            wanted.succeed()


@dataclass(slots=True)
class Buffer:
    """Strips of one operand on chip: places to fill, and strips to use."""

    environment: simpy.Environment
    name: str
    size: int
    places: Slots = field(init=False)
    strips: Slots = field(init=False)

    def __post_init__(self) -> None:
        self.places = Slots(self.environment, f"a free place for {self.name}", self.size)
        self.strips = Slots(self.environment, f"a strip of {self.name}")


def run_events(problem: Problem, plan: Plan, dram: Dram, timeline: Timeline | None = None) -> EventReport:
    """Run one GeMM, and note what the units do if there is a timeline.

    Raises:
        DeadlockError: nobody can go on; a plan that takes more than it frees.
    """
    return Machine(problem, plan, dram, timeline).run()


class Machine:
    """The units of the accelerator and the room between them."""

    def __init__(self, problem: Problem, plan: Plan, dram: Dram, timeline: Timeline | None = None) -> None:
        self.environment = simpy.Environment()
        self.timeline = timeline
        self.problem = problem
        self.plan = plan
        self.dram = dram
        self.resident = Buffer(self.environment, f"resident {plan.resident_tensor}", plan.resident_places)
        self.stream = Buffer(self.environment, f"streamed {plan.stream_tensor}", plan.stream_places)
        self.results = Buffer(self.environment, "results", RESULT_PLACES)
        self.finished: deque[tuple[int, Block] | None] = deque()
        self.waiting = Waiting()

    def run(self) -> EventReport:
        """Start all units and run until the last result is stored."""
        environment = self.environment
        environment.process(self._load(self.plan.resident_requests(), self.resident))
        environment.process(self._load(self.plan.stream_requests(), self.stream))
        environment.process(self._multiply())
        done = environment.process(self._write())
        environment.run()
        if not done.triggered:
            raise DeadlockError(self._who_waits())
        return EventReport(int(environment.now), self.waiting, self.dram.report())

    def _who_waits(self) -> str:
        slots = [
            slot for buffer in (self.resident, self.stream, self.results) for slot in (buffer.places, buffer.strips)
        ]
        waits = [f"the {slot.taker} waits for {slot.name}" for slot in slots if slot.wanted is not None]
        return f"deadlock in cycle {self.environment.now}: {'; '.join(waits)}"

    def _load(self, requests: Iterable[Request], buffer: Buffer) -> Process:
        """Fetch strips in order, each as soon as its buffer has a place."""
        environment, timeline, who = self.environment, self.timeline, f"loader of {buffer.name}"
        for request in requests:
            if wait := buffer.places.take(who):
                yield wait
            now = int(environment.now)
            served = self.dram.serve(now, request)
            if served.stop > now:
                yield environment.timeout(served.stop - now)
            buffer.strips.give()
            if timeline:
                timeline.transfer(f"loader of {request.tensor}", "strip", *served, request.bits)
                timeline.filled(request.tensor, request.bits, served.stop)

    def _multiply(self) -> Process:
        """The array: wait for operands, work, free their places, hand results on."""
        environment, resident, stream = self.environment, self.resident, self.stream
        start = self.problem.start_cycles
        for step in self.plan.steps():
            if step.takes_resident:
                yield from self._wait(resident.strips, "resident")
            if step.takes_stream:
                yield from self._wait(stream.strips, "stream")
            if start:
                yield environment.timeout(start)
                start = 0
            began = int(environment.now)
            yield environment.timeout(step.cycles)
            if step.frees_resident:
                resident.places.give(step.frees_resident)
            if step.frees_stream:
                stream.places.give()
            if self.timeline:
                self._note_step(step, began, self.timeline)
            if step.block is not None:
                yield from self._wait(self.results.places, "results")
                self.finished.append((int(environment.now), step.block))
                self.results.strips.give()
        self.finished.append(None)
        self.results.strips.give()

    def _wait(self, slots: Slots, what: str) -> Process:
        """Let the array take one, and count the cycles if it has to wait."""
        wait = slots.take("array")
        if wait is None:
            return
        began = int(self.environment.now)
        yield wait
        waited = int(self.environment.now) - began
        setattr(self.waiting, what, getattr(self.waiting, what) + waited)
        if self.timeline:
            self.timeline.span("array", f"wait for {slots.name}", began, began + waited)

    def _note_step(self, step: Step, began: int, timeline: Timeline) -> None:
        now, details = int(self.environment.now), {}
        if step.block is not None:
            tokens, channels = step.block
            details = {"tokens": f"{tokens.start}..{tokens.stop}", "channels": f"{channels.start}..{channels.stop}"}
        timeline.span("array", "multiply", began, now, **details)
        timeline.freed(self.plan.resident_tensor, step.frees_resident, now)
        timeline.freed(self.plan.stream_tensor, int(step.frees_stream), now)

    def _write(self) -> Process:
        """Store finished blocks in order, each when its last tile has passed the collector and the compressor.

        Both are as fast as the array, so the earlier tiles of a block have left when the last one comes.
        """
        environment, results, problem = self.environment, self.results, self.problem
        while True:
            if (block_wait := results.strips.take("writer")) is not None:
                yield block_wait
            if (finished := self.finished.popleft()) is None:
                return
            now, block = finished
            if (wait := now + problem.tail_cycles - int(environment.now)) > 0:
                yield environment.timeout(wait)
            if self.timeline:
                collected = now + problem.collect_cycles
                self.timeline.span("collector", "last tile", now, collected)
                if problem.result_mantissa_bits is not None:
                    busy = latency.bpc_cycles_per_block(problem.result_mantissa_bits, problem.architecture.array.rows)
                    self.timeline.span("compressor", "last groups", collected, collected + busy)
            yield from self._store(block)
            results.places.give()

    def _store(self, block: Block) -> Process:
        now = int(self.environment.now)
        requests = list(self.plan.result_requests(block))
        served = [self.dram.serve(now, request) for request in requests]
        if not served:
            return
        stop = max(each.stop for each in served)
        if stop > now:
            yield self.environment.timeout(stop - now)
        if self.timeline:
            bits = sum(request.bits for request in requests)
            self.timeline.transfer("writer", "results", min(each.start for each in served), stop, bits)

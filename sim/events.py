"""The event model of one GeMM: processes that hand tiles to each other and wait for each other (SimPy).

A loader per operand fetches strips over the shared DRAM interface, as far ahead as its buffer has room. The array takes
strips when they are there and frees their room when they are used up. Results pass the output collector and the
compressor, and a writer stores them. One event is a strip or a step of the array, never a bit or a cycle; time is in
whole cycles. With an infinitely fast memory nobody waits, and the closed form comes out exactly.
"""

import math
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import simpy

from ..formats import latency
from .plan import Plan
from .problem import Problem
from .tiling import Tiling

Process = Generator[simpy.Event, Any, None]


class Results(NamedTuple):
    """Finished outputs on their way to DRAM; None behind the last ones ends the run."""

    bits: int
    ready: int
    """Cycle in which the last of them leaves the pipeline registers."""


def event_cycles(problem: Problem, tiling: Tiling, dram_bits_per_cycle: float) -> int:
    """Cycles from the first fetch to the last stored result of one GeMM."""
    environment = simpy.Environment()
    machine = Machine(environment, problem, FlatDram(environment, dram_bits_per_cycle))
    environment.run(machine.start(Plan(problem, tiling)))
    return int(environment.now)


class FlatDram:
    """An interface of constant bandwidth that serves transfers in the order in which they are asked for."""

    def __init__(self, environment: simpy.Environment, bits_per_cycle: float) -> None:
        self.environment = environment
        self.bits_per_cycle = bits_per_cycle
        self.free = 0.0

    def transfer(self, bits: int) -> simpy.Event:
        """An event at the end of the cycle in which the last of `bits` has passed."""
        now = self.environment.now
        self.free = max(self.free, now) + bits / self.bits_per_cycle
        return self.environment.timeout(math.ceil(self.free) - now)


class Buffer:
    """Strips of one operand on chip: places to fill, and strips to use."""

    def __init__(self, environment: simpy.Environment, strips: int) -> None:
        self.places = simpy.Container(environment, capacity=strips, init=strips)
        self.strips = simpy.Container(environment, capacity=strips)


class Machine:
    """The units of the accelerator and the room between them."""

    def __init__(self, environment: simpy.Environment, problem: Problem, dram: FlatDram) -> None:
        self.environment = environment
        self.problem = problem
        self.dram = dram
        self.collector = simpy.Store(environment, capacity=1)
        self.compressor = simpy.Store(environment, capacity=1)
        self.writer = simpy.Store(environment, capacity=2)

    def start(self, plan: Plan) -> simpy.Process:
        """Start all units; the process returned ends with the run."""
        process = self.environment.process
        resident = Buffer(self.environment, plan.resident_places)
        stream = Buffer(self.environment, plan.stream_places)
        process(self._load(plan.resident_bits(), resident))
        process(self._load(plan.stream_bits(), stream))
        process(self._multiply(plan, resident, stream))
        process(self._collect())
        process(self._compress())
        return process(self._write())

    def _load(self, strips: Iterable[int], buffer: Buffer) -> Process:
        """Fetch strips in order, each as soon as its buffer has a place."""
        for bits in strips:
            yield buffer.places.get(1)
            yield self.dram.transfer(bits)
            yield buffer.strips.put(1)

    def _multiply(self, plan: Plan, resident: Buffer, stream: Buffer) -> Process:
        """The array: wait for operands, work, free their places, hand results on."""
        environment = self.environment
        for step in plan.steps():
            if step.takes_resident:
                yield resident.strips.get(1)
            if step.takes_stream:
                yield stream.strips.get(1)
            yield environment.timeout(step.cycles)
            if step.frees_resident:
                yield resident.places.put(step.frees_resident)
            if step.frees_stream:
                yield stream.places.put(1)
            if step.result_bits:
                ready = int(environment.now) + latency.PE_RESULT_CYCLES
                yield self.collector.put(Results(step.result_bits, ready))
        yield self.collector.put(None)

    def _collect(self) -> Process:
        """The output collector shifts out the last tile of a step; earlier ones left while the array went on."""
        while (results := (yield self.collector.get())) is not None:
            yield self.environment.timeout(self.problem.collect_cycles)
            yield self.compressor.put(results._replace(ready=results.ready + self.problem.collect_cycles))
        yield self.compressor.put(None)

    def _compress(self) -> Process:
        """The compressor emits the planes of the last groups of a step; FP16 results pass."""
        busy = self.problem.compress_cycles
        delay = latency.BPC_LATENCY_CYCLES + busy if busy else 0
        while (results := (yield self.compressor.get())) is not None:
            if busy:
                yield self.environment.timeout(busy)
            yield self.writer.put(results._replace(ready=results.ready + delay))
        yield self.writer.put(None)

    def _write(self) -> Process:
        """Store results in order, each when it has left the pipeline."""
        environment = self.environment
        while (results := (yield self.writer.get())) is not None:
            if results.ready > environment.now:
                yield environment.timeout(results.ready - environment.now)
            yield self.dram.transfer(results.bits)

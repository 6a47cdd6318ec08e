"""Parts of all SimPy models: tokens that processes hand to each other, queues, buffers with ports, deadlock reports."""

import math
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import simpy

from ..memory.dram import Served

Process = Generator[simpy.Event, None, None]
Item = TypeVar("Item")


class DeadlockError(RuntimeError):
    """All processes wait for each other; the message names each process and what it waits for."""


class Slots:
    """Counted tokens that one process gives and another takes, such as free places or filled strips.

    Taking a token that is there costs no event; only waiting does.

    Parameters
    ----------
    environment
        SimPy environment of the run.
    name
        Name of a token in deadlock reports.
    count
        Tokens at the start.
    idle
        True if a process that waits here counts as idle, not as blocked.
    """

    def __init__(self, environment: simpy.Environment, name: str, count: int = 0, idle: bool = False) -> None:
        self.environment = environment
        self.name = name
        self.count = count
        self.idle = idle
        self.taker: str | None = None
        self.wanted: simpy.Event | None = None

    def take(self, taker: str) -> simpy.Event | None:
        """Take a token; the event to wait for, or None if a token is there. Only one process takes."""
        if self.count:
            self.count -= 1
            return None
        self.taker = taker
        self.wanted = self.environment.event()
        return self.wanted

    def give(self, count: int = 1) -> None:
        """Add tokens, and resume the taker if it waits."""
        self.count += count
        if self.wanted is not None and self.count:
            self.count -= 1
            wanted, self.wanted = self.wanted, None
            wanted.succeed()


class Channel(Generic[Item]):
    """A queue of items from one process to another."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.items: deque[Item] = deque()

    def put(self, item: Item) -> None:
        """Add an item."""
        self.items.append(item)
        self.slots.give()

    def get(self, taker: str) -> Generator[simpy.Event, None, Item]:
        """Remove the next item, or wait for one."""
        if wait := self.slots.take(taker):
            yield wait
        return self.items.popleft()


class Station(Generic[Item]):
    """Instructions of a unit, as its controller tracks them: given, unfinished and ended."""

    def __init__(self, units: "Units", name: str) -> None:
        self.units = units
        self.name = name
        self.instructions: Channel[Item] = units.work("an instruction")
        self.ready = units.slots(f"the {name} to take another instruction", 1)
        self.ended = units.slots(f"the {name} to end an instruction")
        """A token for each ended instruction, given one cycle later, when the controller sees it."""
        self.unfinished = 0
        """Instructions given that the controller has not seen end."""
        self.given = 0
        self.cycles: list[int] = []
        """Cycles in which the instructions ended."""

    @property
    def idle(self) -> bool:
        """True if all instructions ended before this cycle."""
        return len(self.cycles) == self.given and not (self.cycles and self.cycles[-1] == self.units.now)

    def give(self, item: Item) -> None:
        """Give the unit an instruction; it must be ready."""
        self.given += 1
        self.unfinished += 1
        self.instructions.put(item)

    def end(self) -> None:
        """End the oldest instruction."""
        self.cycles.append(self.units.now)
        self.units.after(1).callbacks.append(lambda _: self.ended.give())

    def at_most(self, pending: int, who: str) -> Process:
        """Wait until the controller sees at most `pending` unfinished instructions."""
        while self.unfinished > pending:
            if wait := self.ended.take(who):
                yield wait
            self.unfinished -= 1


class Turns:
    """Exclusive use of a shared resource in a fixed order."""

    def __init__(self, slots: Mapping[str, Slots], order: Iterable[str]) -> None:
        self._slots = slots
        self._order = iter(order)
        self.end()

    def take(self, name: str, taker: str) -> simpy.Event | None:
        """Take a turn; the event to wait for, or None if the turn has come."""
        return self._slots[name].take(taker)

    def end(self) -> None:
        """End the current turn and give the next one."""
        if (name := next(self._order, None)) is not None:
            self._slots[name].give()


class MemoryPort:
    """Port of the half of a buffer that fills; loads, results and their read-out share it.

    The half that the array reads has its own port, whose accesses are part of the cycles of a group.
    """

    def __init__(self, bits_per_cycle: float) -> None:
        self.bits_per_cycle = bits_per_cycle
        self.free = 0.0
        self.bits = 0

    def serve(self, now: int, bits: int) -> Served:
        """Transfer `bits` from the time the port is free; fractions of a cycle carry over."""
        start = max(self.free, now)
        self.free = start + bits / self.bits_per_cycle
        self.bits += bits
        return Served(math.ceil(start), math.ceil(self.free))

    def utilisation(self, cycles: int) -> float:
        """Share of `cycles` in which the port was busy."""
        return self.bits / self.bits_per_cycle / cycles


@dataclass(frozen=True, slots=True)
class BufferSlots:
    """Places and filled strips of one operand in a buffer, and the port that fills it."""

    name: str
    places: Slots
    strips: Slots
    port: MemoryPort


class Units:
    """A SimPy run: its environment, and all tokens that its processes wait for."""

    def __init__(self) -> None:
        self.environment = simpy.Environment()
        self._slots: list[Slots] = []

    @property
    def now(self) -> int:
        """Current cycle."""
        return int(self.environment.now)

    def slots(self, name: str, count: int = 0, idle: bool = False) -> Slots:
        """New tokens of this run, with the parameters of `Slots`."""
        slots = Slots(self.environment, name, count, idle)
        self._slots.append(slots)
        return slots

    def work(self, name: str) -> Channel[Any]:
        """A queue of work; a process that waits for more work is idle."""
        return Channel(self.slots(name, idle=True))

    def buffer(self, name: str, size: int, port: MemoryPort) -> BufferSlots:
        """An empty buffer for `size` strips."""
        return BufferSlots(name, self.slots(f"a free place for {name}", size), self.slots(f"a strip of {name}"), port)

    def until(self, cycle: int) -> simpy.Event:
        """Event at a cycle that has not passed."""
        return self.environment.timeout(cycle - self.now)

    def after(self, cycles: int) -> simpy.Event:
        """Event some cycles from now."""
        return self.environment.timeout(cycles)

    def run(self, *processes: Process, servers: Iterable[Process] = ()) -> int:
        """Run all processes to their end and return the last one's cycle.

        `servers` serve requests of the others and may still wait for more at the end.

        Raises
        ------
        DeadlockError
            Some process has not ended and none can continue.
        """
        started = [self.environment.process(process) for process in processes]
        for server in servers:
            self.environment.process(server)
        self.environment.run()
        if not all(process.triggered for process in started):
            raise DeadlockError(self._who_waits())
        return self.now

    def _who_waits(self) -> str:
        waiting = (slot for slot in self._slots if slot.wanted is not None and not slot.idle)
        waits = [f"the {slot.taker} waits for {slot.name}" for slot in waiting]
        return f"deadlock in cycle {self.now}: {'; '.join(waits)}"

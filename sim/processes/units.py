"""What the units of the event model share: things handed over, buffers with ports, and who waits for whom."""

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
    """All processes wait for each other; the message says who waits for whom."""


class Slots:
    """Things that one process gives and another takes, such as free places or filled strips.

    Taking what is there costs no event; only waiting does.
    """

    def __init__(self, environment: simpy.Environment, name: str, count: int = 0, rest: bool = False) -> None:
        self.environment = environment
        self.name = name
        self.count = count
        self.rest = rest
        """Whether who waits for one has nothing to do."""
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


class Channel(Generic[Item]):
    """A queue from one process to another."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.items: deque[Item] = deque()

    def put(self, item: Item) -> None:
        """Hand an item over."""
        self.items.append(item)
        self.slots.give()

    def get(self, taker: str) -> Generator[simpy.Event, None, Item]:
        """The next item, as soon as there is one."""
        if wait := self.slots.take(taker):
            yield wait
        return self.items.popleft()


class Station(Generic[Item]):
    """A unit as a controller sees it: what it is given to do, and what of that it has done."""

    def __init__(self, units: "Units", name: str) -> None:
        self.units = units
        self.name = name
        self.instructions: Channel[Item] = units.work("an instruction")
        self.ready = units.slots(f"the {name} to take another instruction", 1)
        self.ended = units.slots(f"the {name} to end an instruction")
        """Given in the cycle after, when it is seen."""
        self.unfinished = 0
        """What it has been given and is not seen to have ended."""
        self.given = 0
        self.cycles: list[int] = []
        """In which it ended each."""

    @property
    def idle(self) -> bool:
        """Whether it had ended all in the cycle before this one."""
        return len(self.cycles) == self.given and not (self.cycles and self.cycles[-1] == self.units.now)

    def give(self, item: Item) -> None:
        """Give it something to do, for which it is ready."""
        self.given += 1
        self.unfinished += 1
        self.instructions.put(item)

    def end(self) -> None:
        """It ends the oldest that it was given."""
        self.cycles.append(self.units.now)
        self.units.after(1).callbacks.append(lambda _: self.ended.give())

    def at_most(self, pending: int, who: str) -> Process:
        """Wait until at most `pending` of what it was given are seen to be unfinished."""
        while self.unfinished > pending:
            if wait := self.ended.take(who):
                yield wait
            self.unfinished -= 1


class Turns:
    """Who may use a thing next, in an order fixed beforehand."""

    def __init__(self, slots: Mapping[str, Slots], order: Iterable[str]) -> None:
        self._slots = slots
        self._order = iter(order)
        self.end()

    def take(self, whose: str, taker: str) -> simpy.Event | None:
        """An event to wait for, if it is the turn of another."""
        return self._slots[whose].take(taker)

    def end(self) -> None:
        """The present turn is over."""
        if (whose := next(self._order, None)) is not None:
            self._slots[whose].give()


class MemoryPort:
    """The port of the half of a buffer that fills: loads, results and what is read out again pass it in turn.

    The other half, which the array reads, has its own; what the array takes from it is in the cycles of a group.
    """

    def __init__(self, bits_per_cycle: float) -> None:
        self.bits_per_cycle = bits_per_cycle
        self.free = 0.0
        self.bits = 0

    def serve(self, now: int, bits: int) -> Served:
        """Pass `bits` from when the port is free; fractions of a cycle carry over."""
        start = max(self.free, now)
        self.free = start + bits / self.bits_per_cycle
        self.bits += bits
        return Served(math.ceil(start), math.ceil(self.free))

    def utilisation(self, cycles: int) -> float:
        """Share of `cycles` in which it was busy."""
        return self.bits / self.bits_per_cycle / cycles


@dataclass(frozen=True, slots=True)
class BufferSlots:
    """Strips of one operand on chip: places to fill, strips to use, and the port through which they come."""

    name: str
    places: Slots
    strips: Slots
    port: MemoryPort


class Units:
    """Processes of one run, and what they wait for."""

    def __init__(self) -> None:
        self.environment = simpy.Environment()
        self._slots: list[Slots] = []

    @property
    def now(self) -> int:
        """The present cycle."""
        return int(self.environment.now)

    def slots(self, name: str, count: int = 0, rest: bool = False) -> Slots:
        """Things to hand over, `count` of them there already; who waits for one may be at `rest`."""
        slots = Slots(self.environment, name, count, rest)
        self._slots.append(slots)
        return slots

    def work(self, name: str) -> Channel[Any]:
        """A queue of things to do; who waits for more of them is at rest."""
        return Channel(self.slots(name, rest=True))

    def buffer(self, name: str, size: int, port: MemoryPort) -> BufferSlots:
        """An empty buffer for `size` strips."""
        return BufferSlots(name, self.slots(f"a free place for {name}", size), self.slots(f"a strip of {name}"), port)

    def until(self, cycle: int) -> simpy.Event:
        """The event of a cycle that has not passed."""
        return self.environment.timeout(cycle - self.now)

    def after(self, cycles: int) -> simpy.Event:
        """The event of some cycles from now."""
        return self.environment.timeout(cycles)

    def run(self, *processes: Process, servers: Iterable[Process] = ()) -> int:
        """Run all processes to their end: the cycle in which the last one is done.

        `servers` do what they are asked for, and may wait for more of it when the others are done.

        Raises:
            DeadlockError: they are not all done, and nobody can go on.
        """
        started = [self.environment.process(process) for process in processes]
        for server in servers:
            self.environment.process(server)
        self.environment.run()
        if not all(process.triggered for process in started):
            raise DeadlockError(self._who_waits())
        return self.now

    def _who_waits(self) -> str:
        waiting = (slot for slot in self._slots if slot.wanted is not None and not slot.rest)
        waits = [f"the {slot.taker} waits for {slot.name}" for slot in waiting]
        return f"deadlock in cycle {self.now}: {'; '.join(waits)}"

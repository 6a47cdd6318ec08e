"""Timeline of a run for Perfetto or chrome://tracing (Trace Event Format, JSON).

Each unit has a track; spans on it follow each other or nest. Counters show the bits held by each buffer and the bandwidth
of the DRAM interface. Levels `events` and `cycle` use the same tracks: `events` records strips, steps and waits as it
runs, and `cycle.program_timeline` draws the instructions, tiles and rows of a program after its run.
"""

import json
import math
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

from ...formats import InputError

UNITS = (
    "controller",
    "loader of activations",
    "loader of weights",
    "dispatcher",
    "array",
    "collector",
    "compressor",
    "vector unit",
    "writer",
)
"""Tracks, from top to bottom."""


class Timeline:
    """Records the activity of the units, in cycles, for one or several GeMMs in sequence.

    Parameters
    ----------
    clock_hz
        Cycles per second of the machine.
    """

    def __init__(self, clock_hz: float) -> None:
        self.clock_hz = clock_hz
        self.origin = 0
        """Cycle of the whole timeline at which the current GeMM began."""
        self.events: list[dict[str, Any]] = []
        self._held: dict[str, deque[int]] = defaultdict(deque)
        self._bits: dict[str, int] = defaultdict(int)

    def span(self, unit: str, name: str, start: int, stop: int, **details: object) -> None:
        """Record an activity of a unit, from the end of cycle `start` to the end of cycle `stop`."""
        begin, end = self._nanoseconds(start), self._nanoseconds(stop)
        times = {"ts": microseconds(begin), "dur": microseconds(end - begin)}
        self.events.append({"ph": "X", "pid": 1, "tid": UNITS.index(unit), "name": name, **times, "args": details})

    def transfer(self, unit: str, name: str, start: int, stop: int, bits: int, interface: str = "DRAM") -> None:
        """Record a transfer of a unit over an interface, and the interface's bandwidth as a counter."""
        self.span(unit, name, start, stop, bytes=bits // 8)
        if stop > start:
            gigabytes_per_second = bits / 8 / (stop - start) * self.clock_hz / 1e9
            self._counter(interface, "GB/s", start, gigabytes_per_second)
            self._counter(interface, "GB/s", stop, 0)

    def filled(self, buffer: str, bits: int, at: int) -> None:
        """Record the arrival of a strip in a buffer."""
        self._held[buffer].append(bits)
        self.hold(buffer, bits, at)

    def freed(self, buffer: str, strips: int, at: int) -> None:
        """Record that the oldest strips of a buffer are used up."""
        self.hold(buffer, -sum(self._held[buffer].popleft() for _ in range(strips)), at)

    def hold(self, buffer: str, bits: int, at: int) -> None:
        """Record a change of the bits that a buffer holds."""
        self._bits[buffer] += bits
        self._counter(f"{buffer} held", "KiB", at, self._bits[buffer] / 8192)

    def finish(self, name: str, cycles: int) -> None:
        """Record the end of the current GeMM; the next one begins there."""
        self.span("controller", name, 0, cycles)
        self.origin += cycles

    def to_chrome(self) -> dict[str, Any]:
        """The timeline as plain data in the Trace Event Format."""
        names = [
            {"ph": "M", "pid": 1, "tid": index, "name": "thread_name", "args": {"name": unit}}
            for index, unit in enumerate(UNITS)
        ]
        process = {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "accelerator"}}
        return {"displayTimeUnit": "ns", "traceEvents": [process, *names, *self.events]}

    def write(self, path: Path) -> None:
        """Write the timeline as JSON.

        Raises
        ------
        InputError
            The file exists or cannot be written.
        """
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(self.to_chrome(), file)
        except FileExistsError:
            raise InputError(f"timeline: {path} exists; name a new file") from None
        except OSError as error:
            raise InputError(f"timeline: {path} cannot be written ({error.strerror}); name another file") from None

    def _counter(self, name: str, unit: str, at: int, value: float) -> None:
        self.events.append(
            {"ph": "C", "pid": 1, "name": name, "ts": microseconds(self._nanoseconds(at)), "args": {unit: value}}
        )

    def _nanoseconds(self, cycle: int) -> int:
        """Time of a cycle's end, rounded to nanoseconds."""
        return round((self.origin + cycle) * 1_000_000_000 / self.clock_hz)


def microseconds(nanoseconds: int) -> float:
    """Whole nanoseconds in the unit of the format, so that Perfetto reads them back.

    Perfetto multiplies start and length of a span by 1000, each by itself, and cuts the fraction off; it drops spans that then
    overlap. The nearest float is often a little too small for that.

    >>> int(1.005 * 1000), int(microseconds(1005) * 1000)
    (1004, 1005)
    """
    value = nanoseconds / 1000
    return value if int(value * 1000) == nanoseconds else math.nextafter(value, math.inf)

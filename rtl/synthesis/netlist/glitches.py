"""Simulation of a netlist with the delays of its cells, which counts glitches: an event-driven kernel.

It replays a run of `NetlistSimulator`. In each cycle the inputs change at the clock edge, the outputs of flip-flops after their
delay, and the changes run through the cells until all nets are quiet. Each cycle begins with the settled nets of the one
before, so a netlist that misses its clock is simulated at the period that it needs.

When inputs of a cell change, its output follows after the delay of the input that changed; after the shortest of these
delays if several change at once (IEEE 1364, module paths). Delays can be

* inertial: after the delay, the output takes the value that its function has by then, so a pulse shorter than the delay is
  lost. Icarus Verilog does the same;
* transport: the output takes the value that its function had when the input changed, so every pulse is kept. A change that
  would overtake an earlier one cancels it.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..liberty.cell import EDGES
from .delays import PinDelay, cell_delays
from .netlist import Netlist
from .simulator import NetlistSimulator
from .timing import Timing

DelayModel: TypeAlias = Literal["inertial", "transport"]

TICK_PS = 0.1
"""Resolution of time. A delay is at least one tick."""

Bits: TypeAlias = NDArray[np.uint8]
Indices: TypeAlias = NDArray[np.int64]
_FIRST_EVENTS = 1 << 12


class _Gates(NamedTuple):
    """Cells as look-up tables, one for each output, followed by the sources of the netlist.

    Attributes
    ----------
    outputs : array ``[gates + sources]``
        Place of the net that a gate or source drives.
    tables, values : arrays
        Start of the truth table of each gate in `values`.
    starts, users, weights, delays : arrays
        For each place, the start of its users in the other three: a gate that reads it, the weight of the input in the row of
        the truth table, and the delays ``[users, 2]`` of a falling and a rising output, in ticks.
    source_delays : array ``[sources, 2]``
        Delay after the clock edge of a falling and a rising source, in ticks.
    """

    outputs: Indices
    tables: Indices
    values: Bits
    starts: Indices
    users: Indices
    weights: Indices
    delays: Indices
    source_delays: Indices


class _Queue(NamedTuple):
    """Events in buckets of one tick each; a bucket is a linked list, and the buckets are used in turn.

    ``heads[time % len(heads)]`` is the first event of a time. ``free[0]`` is the number of free events, which ``free[1:]``
    lists. Of each gate, `last` is the newest event that has not happened, and `pending` their number.
    """

    heads: Indices
    following: Indices
    gates: Indices
    times: Indices
    results: Bits
    cancelled: Bits
    older: Indices
    free: Indices
    last: Indices
    pending: Indices


@njit(cache=True)
def _empty(buckets: int, gates: int) -> _Queue:
    """Queue without events."""
    events, results = np.zeros(_FIRST_EVENTS, np.int64), np.zeros(_FIRST_EVENTS, np.uint8)
    free = np.arange(-1, _FIRST_EVENTS)
    free[0] = _FIRST_EVENTS
    return _Queue(
        np.full(buckets, -1, np.int64),
        events,
        events.copy(),
        events.copy(),
        results,
        results.copy(),
        events.copy(),
        free,
        np.zeros(gates, np.int64),
        np.zeros(gates, np.int64),
    )


@njit(cache=True)
def _add(queue: _Queue, gate: int, time: int, result: int) -> None:
    """Append an event: `gate` changes to `result`."""
    queue.free[0] -= 1
    event = queue.free[1 + queue.free[0]]
    bucket = time & len(queue.heads) - 1
    queue.following[event] = queue.heads[bucket]
    queue.heads[bucket] = event
    queue.gates[event], queue.times[event] = gate, time
    queue.results[event], queue.cancelled[event] = result, 0
    queue.older[event] = queue.last[gate]
    queue.last[gate] = event
    queue.pending[gate] += 1


@njit(cache=True)
def _next(heads: Indices, now: int) -> int:
    """First time from now on that has an event."""
    while heads[now & len(heads) - 1] < 0:
        now += 1
    return now


@njit(cache=True)
def _overtake(queue: _Queue, gate: int, time: int, present: int) -> int:
    """Cancel the events of a gate that are not before `time`; return the value that the gate then has before `time`."""
    while queue.pending[gate]:
        event = queue.last[gate]
        if queue.times[event] < time:
            return int(queue.results[event])
        queue.cancelled[event] = 1
        queue.last[gate] = queue.older[event]
        queue.pending[gate] -= 1
    return present


@njit(cache=True)
def _grown(queue: _Queue) -> _Queue:
    """The same queue with room for twice as many events."""
    old = len(queue.gates)
    free = np.zeros(2 * old + 1, np.int64)
    free[0] = queue.free[0] + old
    free[1 : queue.free[0] + 1] = queue.free[1 : queue.free[0] + 1]
    free[queue.free[0] + 1 : free[0] + 1] = np.arange(old, 2 * old)
    return _Queue(
        queue.heads,
        np.concatenate((queue.following, queue.following)),
        np.concatenate((queue.gates, queue.gates)),
        np.concatenate((queue.times, queue.times)),
        np.concatenate((queue.results, queue.results)),
        np.concatenate((queue.cancelled, queue.cancelled)),
        np.concatenate((queue.older, queue.older)),
        free,
        queue.last,
        queue.pending,
    )


class _Nets(NamedTuple):
    """State of the simulation.

    Attributes
    ----------
    values, toggles : arrays
        Value of each place, and its changes so far.
    rows : array
        Row of the truth table that the inputs of each gate stand for.
    latest : array
        Value of the function of each gate or source.
    changed, seen, shortest : arrays
        Gates with an input that has changed now; the last time at which each gate was one of them; the delays ``[gates, 2]``
        that apply.
    """

    values: Bits
    toggles: Indices
    rows: Indices
    latest: Bits
    changed: Indices
    seen: Indices
    shortest: Indices


@njit(cache=True)
def _nets(values: Bits, gates: _Gates) -> _Nets:
    """State in which all nets have settled at `values`."""
    count = len(gates.tables)
    rows = np.zeros(count, np.int64)
    for place in range(len(values)):
        for use in range(gates.starts[place], gates.starts[place + 1]):
            rows[gates.users[use]] += gates.weights[use] * values[place]
    latest = np.zeros(len(gates.outputs), np.uint8)
    for gate in range(len(gates.outputs)):
        latest[gate] = values[gates.outputs[gate]]
    toggles, changed = np.zeros(len(values), np.int64), np.zeros(count, np.int64)
    return _Nets(values, toggles, rows, latest, changed, np.full(count, -1, np.int64), np.zeros((count, 2), np.int64))


@njit(cache=True)
def _change(nets: _Nets, gates: _Gates, place: int, now: int, number: int) -> int:
    """Toggle the value at a place; return the number of gates with changed inputs, which was `number`."""
    # local names: an attribute of a tuple costs numba a count of references in each turn of the loop
    users, weights, delays = gates.users, gates.weights, gates.delays
    rows, seen, changed, shortest = nets.rows, nets.seen, nets.changed, nets.shortest
    value = 1 - nets.values[place]
    nets.values[place] = value
    nets.toggles[place] += 1
    for use in range(gates.starts[place], gates.starts[place + 1]):
        user = users[use]
        rows[user] += weights[use] if value else -weights[use]
        if seen[user] != now:
            seen[user] = now
            changed[number] = user
            shortest[user, 0], shortest[user, 1] = delays[use, 0], delays[use, 1]
            number += 1
        else:
            shortest[user, 0] = min(shortest[user, 0], delays[use, 0])
            shortest[user, 1] = min(shortest[user, 1], delays[use, 1])
    return number


@njit(cache=True)
def _deliver(nets: _Nets, gates: _Gates, queue: _Queue, now: int, is_transport: bool) -> int:
    """Carry out the events of this time; return the number of gates with changed inputs."""
    bucket = now & len(queue.heads) - 1
    event = queue.heads[bucket]
    queue.heads[bucket] = -1
    number = 0
    values, latest, outputs = nets.values, nets.latest, gates.outputs
    moved, cancelled, following, free = queue.gates, queue.cancelled, queue.following, queue.free
    while event >= 0:
        gate = moved[event]
        if not cancelled[event]:
            queue.pending[gate] -= 1
            result = queue.results[event] if is_transport else latest[gate]
            if values[outputs[gate]] != result:
                number = _change(nets, gates, int(outputs[gate]), now, number)
        free[1 + free[0]] = event
        free[0] += 1
        event = following[event]
    return number


@njit(cache=True)
def _react(nets: _Nets, gates: _Gates, queue: _Queue, now: int, number: int, is_transport: bool) -> None:
    """Compute the first gates of `changed` anew, and add events for the outputs that will change."""
    changed, rows, latest, shortest = nets.changed, nets.rows, nets.latest, nets.shortest
    values, tables = gates.values, gates.tables
    for index in range(number):
        gate = int(changed[index])
        result = int(values[tables[gate] + rows[gate]])
        if result == latest[gate]:
            continue
        latest[gate] = result
        time = int(now + shortest[gate, result])
        if is_transport and _overtake(queue, gate, time, int(nets.values[gates.outputs[gate]])) == result:
            continue
        _add(queue, gate, time, result)


@njit(cache=True)
def _count_toggles(values: Bits, trace: Bits, gates: _Gates, buckets: int, is_transport: bool) -> Indices:
    """Toggles of each place over all samples of `trace`; `values` are the settled values of its first sample."""
    nets, queue = _nets(values, gates), _empty(buckets, len(gates.outputs))
    now, first = 0, len(gates.tables)
    for sample in range(1, len(trace)):
        while queue.free[0] < trace.shape[1]:
            queue = _grown(queue)
        for source in range(trace.shape[1]):
            result = trace[sample, source]
            if result != trace[sample - 1, source]:
                nets.latest[first + source] = result
                _add(queue, first + source, now + gates.source_delays[source, result], result)
        while queue.free[0] < len(queue.gates):
            now = _next(queue.heads, now)
            number = _deliver(nets, gates, queue, now, is_transport)
            while queue.free[0] < number:
                queue = _grown(queue)
            _react(nets, gates, queue, now, number, is_transport)
        now += 1
    return nets.toggles


class GlitchSimulator:
    """Netlist with delays, which replays the last run of a `NetlistSimulator`.

    Parameters
    ----------
    simulator : `NetlistSimulator`
        Simulator of the netlist.
    timing : `Timing`
        Slews and loads of the netlist, from which its delays follow.
    model : `str`
        ``"inertial"`` or ``"transport"``.
    scale : `float`, mapping
        Factor of all delays, or a factor for each net that a cell drives.

    Attributes
    ----------
    ticks : `dict`
        Delays of a falling and a rising edge of each net that a cell drives, from each input of that cell, in ticks.
    """

    def __init__(
        self,
        simulator: NetlistSimulator,
        timing: Timing,
        *,
        model: DelayModel = "inertial",
        scale: float | Mapping[int, float] = 1.0,
    ) -> None:
        self._simulator, self._model = simulator, model
        netlist = simulator.netlist
        self.ticks = {
            net: {delay.related: _ticks(delay, scale[net] if isinstance(scale, Mapping) else scale) for delay in delays}
            for net, delays in cell_delays(netlist, timing).items()
        }
        self._gates = self._arrays(netlist)
        longest = max(self._gates.delays.max(initial=1), self._gates.source_delays.max(initial=1))
        self._buckets = 1 << int(longest).bit_length()

    def toggles(self) -> dict[int, int]:
        """Toggles of each net in the last run of the simulator, glitches included."""
        places = self._simulator.places
        counts = _count_toggles(
            self._simulator.settled(0), self._simulator.trace, self._gates, self._buckets, self._model == "transport"
        )
        return {net: int(counts[places[net]]) for net in self._simulator.netlist.watched}

    def _arrays(self, netlist: Netlist) -> _Gates:
        places, sources = self._simulator.places, self._simulator.sources
        outputs, tables, values = list[int](), list[int](), list[bool]()
        uses: dict[int, list[tuple[int, int, tuple[int, int]]]] = {}
        for instance in netlist.in_order:
            for pin in instance.cell.outputs:
                net = instance.nets.get(pin.name)
                if not isinstance(net, int) or pin.function is None:
                    continue
                for position, name in enumerate(reversed(pin.function.inputs)):
                    use = len(outputs), 1 << position, self.ticks[net].get(name, (1, 1))
                    uses.setdefault(places[instance.nets[name]], []).append(use)
                outputs.append(places[net])
                tables.append(len(values))
                values += pin.function.table
        by_place = [uses.get(place, []) for place in range(self._simulator.size)]
        flat = [use for place in by_place for use in place]
        delays = [self._source_delay(net) for net in sources]
        return _Gates(
            np.array([*outputs, *(places[net] for net in sources)], np.int64),
            np.array(tables, np.int64),
            np.array(values, np.uint8),
            np.cumsum([0, *map(len, by_place)]),
            np.array([gate for gate, _, _ in flat], np.int64),
            np.array([weight for _, weight, _ in flat], np.int64),
            np.array([ticks for _, _, ticks in flat], np.int64).reshape(-1, 2),
            np.array(delays, np.int64).reshape(-1, 2),
        )

    def _source_delay(self, net: int) -> tuple[int, int]:
        """Ticks from the clock edge to a falling and a rising source: none for an input."""
        return next(iter(self.ticks.get(net, {}).values()), (0, 0))


def _ticks(delay: PinDelay, scale: float) -> tuple[int, int]:
    fall, rise = (max(1, round(delay.ps[edge] * scale / TICK_PS)) for edge in reversed(EDGES))
    return fall, rise

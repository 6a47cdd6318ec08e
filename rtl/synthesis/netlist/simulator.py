"""Simulation of a netlist gate by gate, which counts toggles: one table look-up per gate.

The kernel is compiled once for all netlists. A C++ compiler would need a minute for a netlist of ten thousand gates. The
testbench is that of ``harness.cpp``: a netlist gets the same payloads in the same cycles as in every other simulator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...simulation.packing import Words, to_integers, to_words
from ...simulation.streams import STALL_LIMIT_CYCLES, Pauses, Payloads, StalledError, StreamRun, Transfers
from ..liberty.cell import Pin
from ..liberty.functions import Function
from .netlist import CLOCK, RESET, Net, Netlist
from .power import Activity
from .states import state_pins, state_starts

SETTLE_CYCLES, HELD_CYCLES = 256, 256
"""Cycles after the last payload in which the pipelines run empty, and those in which idle toggles are counted."""

Bits = NDArray[np.uint8]
Indices = NDArray[np.int64]


class _LookUps(NamedTuple):
    """Arrays of `_Tables`.

    For each look-up: the place of its result, the start of its inputs in `inputs` (places of values), and the start of
    its truth table in `values`.
    """

    targets: Indices
    starts: Indices
    inputs: Indices
    tables: Indices
    values: Bits


class _Tables:
    """Sequence of look-ups. Each reads the values at some places and writes its result to another place."""

    def __init__(self) -> None:
        self.targets: list[int] = []
        self.starts: list[int] = [0]
        self.inputs: list[int] = []
        self.tables: list[int] = []
        self.values: list[bool] = []

    def add(self, target: int, function: Function, places: Mapping[str, int]) -> None:
        """Append a look-up of `function`, with its inputs at `places`."""
        self.targets.append(target)
        self.inputs += [places[name] for name in function.inputs]
        self.starts.append(len(self.inputs))
        self.tables.append(len(self.values))
        self.values += function.table

    def arrays(self) -> _LookUps:
        """Look-ups as arrays for the kernels."""
        lists = (self.targets, self.starts, self.inputs, self.tables)
        targets, starts, inputs, tables = (np.array(values, np.int64) for values in lists)
        return _LookUps(targets, starts, inputs, tables, np.array(self.values, np.uint8))


@njit(cache=True)
def _look_up(values: Bits, results: Bits, tables: _LookUps) -> None:
    """Carry out the look-ups in order, from `values` into `results`, which may be the same array."""
    for index in range(len(tables.targets)):
        entry = 0
        for position in range(tables.starts[index], tables.starts[index + 1]):
            entry = entry << 1 | values[tables.inputs[position]]
        results[tables.targets[index]] = tables.values[tables.tables[index] + entry]


class _Observed(NamedTuple):
    """Counters of a run, and the places that they observe.

    Attributes
    ----------
    counts : array ``[2, places]``
        Toggles of each value, and cycles in which it was one.
    states : array
        Cycles of each state of each cell, in the order of `state_starts`.
    cells, starts, places : arrays
        First counter of each cell, start of its state pins in `places`, and places of the pins.
    sources : array
        Places that change by themselves at a clock edge: inputs, and outputs of flip-flops.
    """

    counts: Indices
    states: Indices
    cells: Indices
    starts: Indices
    places: Indices
    sources: Indices


@njit(cache=True)
def _observe(values: Bits, before: Bits, observed: _Observed, trace: Bits, samples: int) -> Bits:
    """Count changes since the last cycle, ones and states; append the sources to `trace`, which may grow."""
    if samples:
        for place in range(len(values)):
            observed.counts[0, place] += values[place] != before[place]
            observed.counts[1, place] += values[place]
        for cell in range(len(observed.cells) - 1):
            state = 0
            for pin in range(observed.starts[cell], observed.starts[cell + 1]):
                state = state << 1 | values[observed.places[pin]]
            observed.states[observed.cells[cell] + state] += 1
    before[:] = values
    if samples == len(trace):
        trace = np.concatenate((trace, np.zeros_like(trace)))
    for index in range(len(observed.sources)):
        trace[samples, index] = values[observed.sources[index]]
    return trace


@njit(cache=True)
def _tick(values: Bits, state: Bits, following: _LookUps) -> None:
    """Rising clock edge: update each state, and its complement in the next place."""
    _look_up(values, state, following)
    for place in following.targets:
        values[place] = state[place]
        values[place + 1] = 1 - state[place]


class _Streams(NamedTuple):
    """Streams of a run in flat arrays, inputs first: places of their signals, payload bits, pauses and times.

    ``starts[s]`` has the starts of payload places, payload bits, pauses and times of stream `s`. ``sizes[s]`` has the
    bits of a payload, the number of payloads, and the period of the pauses.
    """

    inputs: int
    handshakes: Indices
    starts: Indices
    sizes: Indices
    places: Indices
    bits: Bits
    pauses: Bits
    times: Indices


@njit(cache=True)
def _drive(values: Bits, streams: _Streams, moved: Indices, offering: Bits, cycle: int) -> None:
    """Drive the streams in a cycle, as `drive_input` and `drive_output` of harness.cpp do."""
    for stream in range(len(moved)):
        places, bits, pauses, _ = streams.starts[stream]
        width, count, period = streams.sizes[stream]
        wants = moved[stream] < count and not streams.pauses[pauses + cycle % period]
        if stream >= streams.inputs:
            values[streams.handshakes[stream, 1]] = wants
            continue
        if wants and not offering[stream]:
            offset = bits + moved[stream] * width
            for bit in range(width):
                values[streams.places[places + bit]] = streams.bits[offset + bit]
            offering[stream] = 1
        values[streams.handshakes[stream, 0]] = offering[stream]


@njit(cache=True)
def _take(values: Bits, streams: _Streams, moved: Indices, offering: Bits, cycle: int) -> int:
    """Record the transfers of a cycle; return their number."""
    fired = 0
    for stream in range(len(moved)):
        valid, ready = streams.handshakes[stream]
        if not (values[valid] and values[ready]):
            continue
        places, bits, _, times = streams.starts[stream]
        width = streams.sizes[stream, 0]
        if stream >= streams.inputs:
            offset = bits + moved[stream] * width
            for bit in range(width):
                streams.bits[offset + bit] = values[streams.places[places + bit]]
        streams.times[times + moved[stream]] = cycle
        moved[stream] += 1
        offering[stream] = 0
        fired += 1
    return fired


@njit(cache=True)
def _run(
    values: Bits, logic: _LookUps, following: _LookUps, observed: _Observed, streams: _Streams, stall_limit: int
) -> tuple[Bits, int]:
    """Run until every payload is transferred and one cycle more, as `run_streams` of harness.cpp does.

    Returns the sources of each sample, and -1 or the last cycle with a transfer before a stall of `stall_limit` cycles.
    """
    trace = np.zeros((1024, len(observed.sources)), np.uint8)
    moved, offering = np.zeros(len(streams.sizes), np.int64), np.zeros(len(streams.sizes), np.uint8)
    before, state = np.zeros_like(values), np.zeros_like(values)
    left = streams.sizes[:, 1].sum()
    cycle, last_move, samples, draining = 0, 0, 0, False
    while not draining:
        draining = left == 0
        _drive(values, streams, moved, offering, cycle)
        _look_up(values, values, logic)
        trace = _observe(values, before, observed, trace, samples)
        samples += 1
        fired = _take(values, streams, moved, offering, cycle)
        if fired:
            left -= fired
            last_move = cycle
        _tick(values, state, following)
        if left and cycle - last_move > stall_limit:
            return trace[:samples], last_move
        cycle += 1
    _look_up(values, values, logic)
    return _observe(values, before, observed, trace, samples)[: samples + 1], -1


@njit(cache=True)
def _hold(values: Bits, logic: _LookUps, following: _LookUps, observed: _Observed, cycles: int) -> Bits:
    """Run some cycles with all inputs held; return the sources of each sample."""
    before, state = np.zeros_like(values), np.zeros_like(values)
    trace = _observe(values, before, observed, np.zeros((cycles + 1, len(observed.sources)), np.uint8), 0)
    for cycle in range(cycles):
        _tick(values, state, following)
        _look_up(values, values, logic)
        trace = _observe(values, before, observed, trace, cycle + 1)
    return trace


@njit(cache=True)
def _run_vectors(
    values: Bits, logic: _LookUps, observed: _Observed, places: Indices, rows: Bits, outputs: Indices, results: Bits
) -> Bits:
    """Apply rows of input bits and record the output bits of each row; return the sources of each row."""
    before = np.zeros_like(values)
    trace = np.zeros((len(rows), len(observed.sources)), np.uint8)
    for row in range(len(rows)):
        for bit in range(len(places)):
            values[places[bit]] = rows[row, bit]
        _look_up(values, values, logic)
        trace = _observe(values, before, observed, trace, row)
        for bit in range(len(outputs)):
            results[row, bit] = values[outputs[bit]]
    return trace


@dataclass
class _Stream:
    """Stream of a run, before it is flattened into `_Streams`."""

    valid: int
    ready: int
    places: list[int]
    bits: Bits
    pause: Bits


class NetlistSimulator:
    """Netlist as look-up tables. It runs as a `CompiledCircuit` does, after a reset, and counts toggles.

    Parameters
    ----------
    netlist : `Netlist`
        Netlist without combinational loops, with flip-flops that are triggered by the rising edge.

    Attributes
    ----------
    netlist : `Netlist`
        The netlist.
    places : `dict`
        Place of each net and constant among the values.
    size : `int`
        Number of values: nets, the two constants, and the memory of flip-flops.
    sources : `list` of `int`
        Nets that change by themselves at a clock edge: inputs, and outputs of flip-flops.
    trace : array ``[samples, sources]`` of bits
        Values of the sources in the last run, in each cycle when the nets have settled.
    """

    def __init__(self, netlist: Netlist) -> None:
        nets = netlist.nets
        self.netlist = netlist
        self.places: dict[Net, int] = {net: index for index, net in enumerate(nets)}
        self.places |= {"0": len(nets), "x": len(nets), "1": len(nets) + 1}
        self._ports = {port.name: [self.places[net] for net in port.nets] for port in netlist.ports}
        self._watched = netlist.watched
        states = [instance for instance in netlist.instances if instance.cell.flip_flop]
        self.size = len(nets) + 2 + 2 * len(states)
        logic, following, combinational = _Tables(), _Tables(), _Tables()
        for index, instance in enumerate(states):
            flip_flop = instance.cell.flip_flop
            assert flip_flop is not None and flip_flop.clock.table == (False, True)
            state = len(nets) + 2 + 2 * index
            places = self._places(instance.nets) | {flip_flop.state: state, flip_flop.complement: state + 1}
            following.add(state, flip_flop.next_state, places)
            self._add_outputs(logic, instance.cell.outputs, places)
        for instance in netlist.in_order:
            for tables in (logic, combinational):
                self._add_outputs(tables, instance.cell.outputs, self._places(instance.nets))
        self._logic, self._following = logic.arrays(), following.arrays()
        self._combinational = combinational.arrays()
        self.sources = _sources(netlist)
        self._observed = self._observers(netlist)
        self._values = self._initial()
        self.trace = np.zeros((0, len(self.sources)), np.uint8)

    def _places(self, nets: Mapping[str, Net]) -> dict[str, int]:
        return {pin: self.places[net] for pin, net in nets.items() if net in self.places}

    def _add_outputs(self, logic: _Tables, outputs: Sequence[Pin], places: Mapping[str, int]) -> None:
        for pin in outputs:
            if pin.name in places and pin.function:
                logic.add(places[pin.name], pin.function, places)

    def _observers(self, netlist: Netlist) -> _Observed:
        states = [instance for instance in netlist.instances if instance.cell.flip_flop]
        memory = {id(instance): len(netlist.nets) + 2 + 2 * index for index, instance in enumerate(states)}
        starts, places = [0], list[int]()
        for instance in netlist.instances:
            nets = instance.nets
            places += [self.places[nets[pin]] if pin in nets else memory[id(instance)] for pin in state_pins(instance)]
            starts.append(len(places))
        cells = state_starts(netlist)
        lists = (starts, places, [self.places[net] for net in self.sources])
        arrays = (np.array(values, np.int64) for values in lists)
        return _Observed(np.zeros((2, self.size), np.int64), np.zeros(cells[-1], np.int64), cells, *arrays)

    def settled(self, sample: int) -> Bits:
        """Values of all places in a sample of the last run."""
        values = self._initial()
        if len(self.trace):
            values[self._observed.sources] = self.trace[sample]
        _look_up(values, values, self._combinational)
        return values

    def _clear(self) -> None:
        self._observed.counts[:] = 0
        self._observed.states[:] = 0

    def toggles(self) -> dict[int, int]:
        """Toggles of each net in the last run."""
        return {net: int(self._observed.counts[0, self.places[net]]) for net in self._watched}

    def ones(self) -> dict[int, int]:
        """Cycles of the last run in which each net was one."""
        return {net: int(self._observed.counts[1, self.places[net]]) for net in self._watched}

    def cycles(self) -> int:
        """Clock cycles of the last run: one less than the samples of the nets."""
        return len(self.trace) - 1

    def activity(self) -> Activity:
        """Activity of the last run."""
        return Activity(self.toggles(), self.cycles(), self.ones(), self._observed.states.copy())

    def run_streams(
        self, inputs: Payloads, outputs: Mapping[str, int], flags: Sequence[str], pauses: Pauses
    ) -> StreamRun:
        """Run the netlist with streams; see `simulate.run_streams`. Flags are not read.

        Raises
        ------
        StalledError
            No transfer happens for `STALL_LIMIT_CYCLES` although payloads are left.
        """
        streams = [self._stream(name, self._bits(f"{name}__payload", p), pauses) for name, p in inputs.items()]
        for name, count in outputs.items():
            empty = np.zeros((count, len(self._ports[f"{name}__payload"])), np.uint8)
            streams.append(self._stream(name, empty, pauses))
        flat = _flatten(streams, len(inputs))
        self._clear()
        values = self._after_reset()
        self.trace, stalled = _run(values, self._logic, self._following, self._observed, flat, STALL_LIMIT_CYCLES)
        self._values = values
        if stalled >= 0:
            raise StalledError(f"nothing moved since cycle {stalled}")
        transfers: dict[str, Transfers] = {}
        for name, stream, start in zip([*inputs, *outputs], streams, flat.starts, strict=True):
            bits = flat.bits[start[1] : start[1] + stream.bits.size].reshape(stream.bits.shape)
            transfers[name] = Transfers(_words(bits), flat.times[start[3] : start[3] + len(bits)].copy())
        return StreamRun(transfers, {})

    def hold(self, settle: int = SETTLE_CYCLES, cycles: int = HELD_CYCLES) -> None:
        """Go on after `run_streams` with no payload offered or taken, so that the last operands stay at the inputs.

        Toggles are counted in the last `cycles` cycles only, after `settle` cycles in which the pipelines run empty.
        """
        for count in (settle, cycles):
            self._clear()
            self.trace = _hold(self._values, self._logic, self._following, self._observed, count)

    def run_vectors(self, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> dict[str, list[int]]:
        """Evaluate the combinational netlist; see `simulate.run_vectors`."""
        rows = np.concatenate([self._bits(name, values) for name, values in inputs.items()], axis=1)
        places = np.array([place for name in inputs for place in self._ports[name]], np.int64)
        found = np.array([place for name in outputs for place in self._ports[name]], np.int64)
        results = np.zeros((len(rows), len(found)), np.uint8)
        self._clear()
        self.trace = _run_vectors(self._initial(), self._logic, self._observed, places, rows, found, results)
        parts = np.split(results, np.cumsum([len(self._ports[name]) for name in outputs])[:-1], axis=1)
        return {name: to_integers(_words(part)) for name, part in zip(outputs, parts, strict=True)}

    def _bits(self, port: str, payloads: Sequence[int] | Words) -> Bits:
        """Bits ``[n, bits]`` of payloads of a port."""
        width = len(self._ports[port])
        octets = to_words(payloads, width).astype("<u4").view(np.uint8)
        return np.unpackbits(octets, axis=1, bitorder="little")[:, :width]

    def _stream(self, name: str, bits: Bits, pauses: Pauses) -> _Stream:
        (valid,), (ready,) = self._ports[f"{name}__valid"], self._ports[f"{name}__ready"]
        pause = np.array(pauses.get(name, (False,)), np.uint8)
        return _Stream(valid, ready, self._ports[f"{name}__payload"], bits, pause)

    def _initial(self) -> Bits:
        values = np.zeros(self.size, np.uint8)
        values[self.places["1"]] = 1
        values[self._following.targets + 1] = 1
        return values

    def _after_reset(self) -> Bits:
        """Values after a clock edge with reset and with all inputs zero."""
        values = self._initial()
        for level in (1, 0):
            for place in self._ports.get(RESET, []):
                values[place] = level
            _look_up(values, values, self._logic)
            if level:
                _tick(values, np.zeros_like(values), self._following)
        return values


def _sources(netlist: Netlist) -> list[int]:
    """Nets that change by themselves at a clock edge: inputs without the clock, and outputs of flip-flops."""
    found = [net for port in netlist.ports if port.is_input and port.name != CLOCK for net in port.nets]
    states = [instance for instance in netlist.instances if instance.cell.flip_flop]
    found += [i.nets[pin.name] for i in states for pin in i.cell.outputs if pin.name in i.nets]
    return sorted({net for net in found if isinstance(net, int)})


def _flatten(streams: Sequence[_Stream], inputs: int) -> _Streams:
    def flat(parts: list[Any], kind: type) -> tuple[Any, Any]:
        starts = np.cumsum([0, *(np.size(part) for part in parts)])[:-1]
        return starts, np.concatenate([np.ravel(part) for part in parts]).astype(kind)

    place_starts, places = flat([stream.places for stream in streams], np.int64)
    bit_starts, bits = flat([stream.bits for stream in streams], np.uint8)
    pause_starts, pauses = flat([stream.pause for stream in streams], np.uint8)
    time_starts, times = flat([np.zeros(len(stream.bits)) for stream in streams], np.int64)
    return _Streams(
        inputs,
        np.array([(stream.valid, stream.ready) for stream in streams], np.int64),
        np.stack([place_starts, bit_starts, pause_starts, time_starts], axis=1).astype(np.int64),
        np.array([(s.bits.shape[1], len(s.bits), len(s.pause)) for s in streams], np.int64),
        places,
        bits,
        pauses,
        times,
    )


def _words(bits: Bits) -> Words:
    """Pack bits ``[n, bits]`` into rows of words."""
    octets = np.packbits(bits, axis=1, bitorder="little")
    return np.pad(octets, ((0, 0), (0, -octets.shape[1] % 4))).view("<u4").astype(np.uint32, copy=False)

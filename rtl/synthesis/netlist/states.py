"""States of cells: the values of their inputs and memory, and the states in which a condition of the library holds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..liberty.cell import Cell
from ..liberty.functions import Function, parse_function
from .netlist import Instance, Netlist

Shares: TypeAlias = NDArray[np.float64]


class Condition(NamedTuple):
    """Condition of an entry of the library, and its supply. Without a condition it is valid in all states left over."""

    condition: str
    supply: str


def state_pins(instance: Instance) -> tuple[str, ...]:
    """Pins with the state of a cell: its connected inputs except the clock, then the memory of a flip-flop.

    The first pin is the highest bit of a state's number.
    """
    flip_flop = instance.cell.flip_flop
    clocks = flip_flop.clock.inputs if flip_flop else ()
    inputs = [pin for pin in instance.nets if instance.cell.pins[pin].is_input and pin not in clocks]
    return (*inputs, flip_flop.state) if flip_flop else tuple(inputs)


def state_starts(netlist: Netlist) -> NDArray[np.int64]:
    """First counter of each cell, and their number: a cell of n state pins has 2^n counters, one cell after another."""
    return np.cumsum([0, *(1 << len(state_pins(instance)) for instance in netlist.instances)])


def entry_shares(cell: Cell, pins: Sequence[str], entries: Sequence[Condition], own: str = "") -> Shares:
    """Share ``[entries, states]`` of each entry in each state.

    Parameters
    ----------
    cell : `Cell`
        The cell.
    pins : sequence of `str`
        Its `state_pins`.
    entries : sequence of `Condition`
        Entries for leakage, or for the energy of a pin. Of those that hold for one supply, the mean counts.
    own : `str`
        Pin that toggles. Its entries need their condition before and after.
    """
    shares = np.stack([_holds(cell, pins, entry.condition, own) for entry in entries])
    for supply in {entry.supply for entry in entries}:
        conditional = [i for i, entry in enumerate(entries) if entry.supply == supply and entry.condition]
        others = [i for i, entry in enumerate(entries) if entry.supply == supply and not entry.condition]
        covered = shares[conditional].sum(axis=0)
        shares[conditional] /= np.maximum(covered, 1)
        shares[others] = np.clip(1 - covered, 0, None) / max(len(others), 1)
    return shares


def _holds(cell: Cell, pins: Sequence[str], condition: str, own: str) -> Shares:
    """Share of the time in which a condition holds, in each state; a clock is high half of the time."""
    if not condition:
        return np.zeros(1 << len(pins))
    function = _parsed(condition)
    levels = [[_value(function, values) for values in _values(cell, pins, state)] for state in range(1 << len(pins))]
    found = np.array(levels, np.float64)
    if own in pins:
        found *= found[np.arange(len(found)) ^ 1 << len(pins) - 1 - list(pins).index(own)]
    return found @ np.full(found.shape[1], 1 / found.shape[1])


@lru_cache(maxsize=4096)
def _parsed(condition: str) -> Function:
    return parse_function(condition)


def _values(cell: Cell, pins: Sequence[str], state: int) -> Iterator[Mapping[str, bool]]:
    """Value of every pin and of the memory in a state, for each level of a clock."""
    values = dict.fromkeys(cell.pins, False)
    values |= {pin: bool(state >> len(pins) - 1 - place & 1) for place, pin in enumerate(pins)}
    flip_flop = cell.flip_flop
    if flip_flop:
        values[flip_flop.complement] = not values[flip_flop.state]
    values |= {pin.name: _value(pin.function, values) for pin in cell.outputs if pin.function}
    for level in (False, True) if flip_flop else (False,):
        yield values | dict.fromkeys(flip_flop.clock.inputs if flip_flop else (), level)


def _value(function: Function, values: Mapping[str, bool]) -> bool:
    row = 0
    for name in function.inputs:
        row = row << 1 | values[name]
    return function.table[row]

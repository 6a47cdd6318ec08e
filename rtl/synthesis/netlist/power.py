"""Power of a netlist, from the toggles of its nets and the tables of its library.

The energy is the sum of

* the charge of each net, C V^2 / 2 for each toggle;
* the internal energy of each cell for each output toggle, from the library's table at the slew and load of the place. It
  is a mean over the conditions of the table and over the inputs that can cause the toggle, weighted by their toggles;
* the internal energy of each input pin for each of its toggles, clock pins included, with its conditions weighted by the
  states that the cell was seen in;
* leakage, weighted by the same states.

Wires and the clock tree are not included.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..liberty.cell import Cell, InternalEnergy, Pin
from .netlist import CLOCK, Instance, Net, Netlist
from .states import Condition, Shares, entry_shares, state_pins, state_starts
from .timing import Timing

CLOCK_TOGGLES = 2.0
"""Toggles of the clock per cycle."""


@dataclass(frozen=True)
class Activity:
    """Activity of the nets in a simulation of the netlist.

    Attributes
    ----------
    toggles : `dict`
        Toggles of each net.
    cycles : `int`
        Clock cycles of the simulation.
    ones : `dict`
        Cycles in which each net was one.
    states : array of `int`, optional
        Cycles in which each cell settled in each of its states, in the order of `state_starts`. Without it, all states of a
        cell count alike.
    """

    toggles: Mapping[int, int]
    cycles: int
    ones: Mapping[int, int] = field(default_factory=dict[int, int])
    states: NDArray[np.int64] | None = None

    @property
    def toggle_rate(self) -> float:
        """Mean toggles per net and cycle."""
        return sum(self.toggles.values()) / max(len(self.toggles), 1) / self.cycles

    def rate(self, net: Net | None) -> float:
        """Toggles of a net per cycle; zero for a constant."""
        return self.toggles.get(net, 0) / self.cycles if isinstance(net, int) else 0.0


@dataclass(frozen=True)
class CycleEnergy:
    """Mean energy of a cycle, in fJ.

    Attributes
    ----------
    switching_fj : `float`
        Charge of all nets except the clock, with the load of the outputs.
    internal_fj : `float`
        Internal energy of the cells, without clock pins.
    clock_fj : `float`
        Charge and internal energy of the flip-flops' clock pins.
    leakage_nw : `float`
        Leakage power, in nW, which does not depend on the cycle.
    """

    switching_fj: float
    internal_fj: float
    clock_fj: float
    leakage_nw: float

    @property
    def dynamic_fj(self) -> float:
        """Energy without leakage, in fJ."""
        return self.switching_fj + self.internal_fj + self.clock_fj

    def total_fj(self, period_ps: float) -> float:
        """Energy with leakage of a cycle of `period_ps`, in fJ."""
        return self.dynamic_fj + self.leakage_nw * period_ps * 1e-6


class EnergyModel:
    """Energies of the toggles of a netlist.

    Parameters
    ----------
    netlist : `Netlist`
        The netlist.
    timing : `Timing`
        Slews and loads of its nets.
    """

    def __init__(self, netlist: Netlist, timing: Timing) -> None:
        clocks = {net for port in netlist.ports if port.name == CLOCK for net in port.nets}
        half_square = netlist.library.voltage**2 / 2
        self._charges = [(net, load * half_square) for net, load in timing.loads_ff.items() if net not in clocks]
        clock_load = sum(timing.loads_ff[net] for net in clocks if isinstance(net, int))
        self._clock_charge = CLOCK_TOGGLES * clock_load * half_square
        self._starts = state_starts(netlist)
        self._outputs: list[tuple[int, list[tuple[Net | None, float]]]] = []
        for instance in netlist.instances:
            for pin in instance.cell.outputs:
                net = instance.nets.get(pin.name)
                if isinstance(net, int):
                    self._outputs.append((net, _by_cause(instance, pin, timing.loads_ff[net], timing)))
        self._pins = _InputEnergies(netlist, timing, clocks)
        self._leakage = np.concatenate([np.zeros(0), *_leakages(netlist)])

    def cycle_energy(self, activity: Activity) -> CycleEnergy:
        """Mean energy of a cycle of the run with this activity."""
        shares = self._state_shares(activity)
        switching = sum(energy * activity.rate(net) for net, energy in self._charges)
        internal, clock = self._pins.cycle_energies(activity, shares)
        for net, causes in self._outputs:
            if rate := activity.rate(net):
                weights = [activity.rate(cause) for cause, _ in causes]
                if not any(weights):
                    weights = [1.0] * len(causes)
                total = sum(weight * energy for weight, (_, energy) in zip(weights, causes, strict=True))
                internal += rate * total / (sum(weights) or 1.0)
        return CycleEnergy(switching, internal, self._clock_charge + clock, float(self._leakage @ shares))

    def _state_shares(self, activity: Activity) -> Shares:
        """Share of the cycles that each cell spent in each of its states."""
        counts = np.ones(self._starts[-1]) if activity.states is None else activity.states.astype(np.float64)
        sums = np.add.reduceat(counts, self._starts[:-1]) if len(counts) else counts
        return counts / np.repeat(sums, np.diff(self._starts))


class _InputEnergies:
    """Internal energies of the input pins of a netlist: for each pin, the energy of a toggle in each state of its cell."""

    def __init__(self, netlist: Netlist, timing: Timing, clocks: set[Net]) -> None:
        self._nets: list[int] = []
        is_clock: list[bool] = []
        counters: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        energies: list[Shares] = [np.zeros(0)]
        known: dict[tuple[str, tuple[str, ...], str], Shares] = {}
        for instance, start in zip(netlist.instances, state_starts(netlist), strict=False):
            pins = state_pins(instance)
            for pin in (pin for pin in instance.cell.pins.values() if pin.is_input and pin.energies):
                net = instance.nets.get(pin.name)
                if not isinstance(net, int):
                    continue
                slew = 0.0 if net in clocks else _slew(net, timing)
                per_toggle = np.array([energy.per_toggle(slew, 0.0) for energy in pin.energies])
                key = instance.cell.name, pins, pin.name
                if key not in known:
                    known[key] = entry_shares(instance.cell, pins, _conditions(pin.energies), pin.name)
                self._nets.append(net)
                is_clock.append(net in clocks)
                counters.append(np.arange(start, start + (1 << len(pins))))
                energies.append(per_toggle @ known[key])
        self._is_clock = np.array(is_clock, np.bool_)
        self._counters, self._energies = np.concatenate(counters), np.concatenate(energies)
        self._starts = np.cumsum([len(part) for part in counters])[:-1]

    def cycle_energies(self, activity: Activity, shares: Shares) -> tuple[float, float]:
        """Mean energy of a cycle in fJ: of data pins, and of clock pins."""
        if not self._nets:
            return 0.0, 0.0
        per_toggle = np.add.reduceat(self._energies * shares[self._counters], self._starts)
        rates = np.array([activity.rate(net) for net in self._nets])
        data = ~self._is_clock
        return float(rates[data] @ per_toggle[data]), float(CLOCK_TOGGLES * per_toggle[self._is_clock].sum())


def _conditions(energies: Iterable[InternalEnergy]) -> list[Condition]:
    return [Condition(energy.condition, energy.supply) for energy in energies]


def _leakages(netlist: Netlist) -> Iterable[Shares]:
    """Leakage of each cell in each of its states, in nW."""
    known: dict[tuple[str, tuple[str, ...]], Shares] = {}
    for instance in netlist.instances:
        key = instance.cell.name, state_pins(instance)
        if key not in known:
            known[key] = _leakage(instance.cell, key[1])
        yield known[key]


def _leakage(cell: Cell, pins: Sequence[str]) -> Shares:
    """Leakage of a cell in each of its states, in nW. Where the library names no state, its mean counts."""
    if not cell.leakages:
        return np.full(1 << len(pins), cell.leakage_nw)
    shares = entry_shares(cell, pins, [Condition(entry.condition, entry.supply) for entry in cell.leakages])
    found = np.array([entry.value_nw for entry in cell.leakages]) @ shares
    return (
        found
        if len({entry.supply for entry in cell.leakages}) > 1
        else found + (1 - shares.sum(axis=0)) * cell.leakage_nw
    )


def _by_cause(instance: Instance, pin: Pin, load: float, timing: Timing) -> list[tuple[Net | None, float]]:
    """Internal energy of an output's toggle, in fJ, for each net that can cause it."""
    by_cause: dict[str, list[InternalEnergy]] = {}
    for energy in pin.energies:
        by_cause.setdefault(energy.related, []).append(energy)
    causes = [(instance.nets.get(related), energies) for related, energies in by_cause.items()]
    return [(cause, _per_toggle(energies, _slew(cause, timing), load)) for cause, energies in causes]


def _per_toggle(energies: Iterable[InternalEnergy], slew: float, load: float) -> float:
    """Mean energy of a toggle over the conditions of each supply, summed over supplies, in fJ."""
    by_supply: dict[str, list[float]] = {}
    for energy in energies:
        by_supply.setdefault(energy.supply, []).append(energy.per_toggle(slew, load))
    return sum(sum(values) / len(values) for values in by_supply.values())


def _slew(net: Net | None, timing: Timing) -> float:
    return timing.slews_ps.get(net, 0.0) if isinstance(net, int) else 0.0

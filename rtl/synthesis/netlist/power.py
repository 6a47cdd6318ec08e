"""Power of a netlist, from the toggles of its nets and the tables of its library.

The energy is the sum of

* the charge of each net, C V^2 / 2 for each toggle;
* the internal energy of each cell for each output toggle, from the library's table at the slew and load of the place. It
  is a mean over the conditions of the table and over the inputs that can cause the toggle, weighted by their toggles;
* the energy of the clock and data pins of flip-flops;
* leakage.

Glitches, wires and the clock tree are not included: toggles are those of a simulation without delays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..liberty.cell import InternalEnergy, Pin
from .netlist import CLOCK, Instance, Net, Netlist
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
    """

    toggles: Mapping[int, int]
    cycles: int
    ones: Mapping[int, int] = field(default_factory=dict[int, int])

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
        self._clock = CLOCK_TOGGLES * clock_load * half_square
        self._leakage = sum(instance.cell.leakage_nw for instance in netlist.instances)
        self._pins: list[tuple[Net, float]] = []
        self._outputs: list[tuple[int, list[tuple[Net | None, float]]]] = []
        for instance in netlist.instances:
            for pin in instance.cell.outputs:
                net = instance.nets.get(pin.name)
                if isinstance(net, int):
                    self._outputs.append((net, _by_cause(instance, pin, timing.loads_ff[net], timing)))
            if instance.cell.flip_flop:
                for pin in (pin for pin in instance.cell.pins.values() if pin.is_input):
                    net = instance.nets.get(pin.name)
                    if net in clocks:
                        self._clock += CLOCK_TOGGLES * _per_toggle(pin.energies, 0.0, 0.0)
                    elif net is not None:
                        self._pins.append((net, _per_toggle(pin.energies, _slew(net, timing), 0.0)))

    def cycle_energy(self, activity: Activity) -> CycleEnergy:
        """Mean energy of a cycle of the run with this activity."""
        switching = sum(energy * activity.rate(net) for net, energy in self._charges)
        internal = sum(energy * activity.rate(net) for net, energy in self._pins)
        for net, causes in self._outputs:
            if rate := activity.rate(net):
                weights = [activity.rate(cause) for cause, _ in causes]
                if not any(weights):
                    weights = [1.0] * len(causes)
                total = sum(weight * energy for weight, (_, energy) in zip(weights, causes, strict=True))
                internal += rate * total / (sum(weights) or 1.0)
        return CycleEnergy(switching, internal, self._clock, self._leakage)


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

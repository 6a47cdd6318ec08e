"""Power of a netlist from the toggles of its nets and the tables of its library.

What is counted, per toggle: a net's charge, C V^2 / 2; the cell's own energy from the library's table at the slew and load
of the place, once per output toggle, as a mean over the conditions of the table and over the inputs that may have caused
it, weighted by how often each toggles; the energy of flip-flops' clock and data pins; and leakage. Zero-delay toggles have
no glitches, and no wires and no clock tree are in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .cells import Energy, Pin
from .gates import CLOCK
from .netlist import Instance, Net, Netlist
from .timing import Timing

CLOCK_TOGGLES = 2.0
"""Of the clock, per cycle."""


@dataclass(frozen=True)
class Activity:
    """Toggles per cycle of each net, from a simulation of the netlist.

    Attributes
    ----------
    toggles : `dict`
        By net.
    cycles : `int`
        Cycles that were counted.
    """

    toggles: Mapping[int, int]
    cycles: int

    def rate(self, net: Net | None) -> float:
        """Toggles per cycle; of a constant none."""
        return self.toggles.get(net, 0) / self.cycles if isinstance(net, int) else 0.0


@dataclass(frozen=True)
class CycleEnergy:
    """Energy of a mean cycle, in fJ.

    Attributes
    ----------
    switching_fj : `float`
        Charge of the nets but the clock, with the load of the outputs.
    internal_fj : `float`
        Within the cells, but not at clock pins.
    clock_fj : `float`
        Charge of the flip-flops' clock pins, and what these take inside.
    leakage_nw : `float`
        Power, as it does not depend on the cycle.
    """

    switching_fj: float
    internal_fj: float
    clock_fj: float
    leakage_nw: float

    @property
    def dynamic_fj(self) -> float:
        """All but leakage."""
        return self.switching_fj + self.internal_fj + self.clock_fj

    def total_fj(self, period_ps: float) -> float:
        """Energy of a cycle of `period_ps`."""
        return self.dynamic_fj + self.leakage_nw * period_ps * 1e-6


def cycle_energy(netlist: Netlist, timing: Timing, activity: Activity) -> CycleEnergy:
    """Energy of a mean cycle of the run that `activity` was counted in."""
    clocks = {net for port in netlist.ports if port.name == CLOCK for net in port.nets}
    half_square = netlist.library.voltage**2 / 2
    switching = sum(load * activity.rate(net) for net, load in timing.loads_ff.items() if net not in clocks)
    clock_load = sum(timing.loads_ff[net] for net in clocks if isinstance(net, int))
    internal = clock = leakage = 0.0
    for instance in netlist.instances:
        leakage += instance.cell.leakage_nw
        internal += sum(_output_energy(instance, pin, timing, activity) for pin in instance.cell.outputs)
        if instance.cell.flip_flop:
            for pin in (pin for pin in instance.cell.pins.values() if pin.is_input):
                net = instance.nets.get(pin.name)
                if net in clocks:
                    clock += CLOCK_TOGGLES * _per_toggle(pin.energies, 0.0, 0.0)
                else:
                    internal += activity.rate(net) * _per_toggle(pin.energies, _slew(net, timing), 0.0)
    return CycleEnergy(switching * half_square, internal, clock + CLOCK_TOGGLES * clock_load * half_square, leakage)


def _output_energy(instance: Instance, pin: Pin, timing: Timing, activity: Activity) -> float:
    """Energy per cycle of an output's toggles within its cell, in fJ."""
    net = instance.nets.get(pin.name)
    rate = activity.rate(net)
    if not rate or not isinstance(net, int):
        return 0.0
    by_cause: dict[str, list[Energy]] = {}
    for energy in pin.energies:
        by_cause.setdefault(energy.related, []).append(energy)
    weights = {related: activity.rate(instance.nets.get(related)) for related in by_cause}
    if not any(weights.values()):
        weights = dict.fromkeys(by_cause, 1.0)
    load = timing.loads_ff[net]
    total = sum(
        weights[related] * _per_toggle(energies, _slew(instance.nets.get(related), timing), load)
        for related, energies in by_cause.items()
    )
    return rate * total / (sum(weights.values()) or 1.0)


def _per_toggle(energies: Iterable[Energy], slew: float, load: float) -> float:
    """The mean over conditions of each supply, summed over supplies."""
    by_supply: dict[str, list[float]] = {}
    for energy in energies:
        by_supply.setdefault(energy.supply, []).append(energy.per_toggle(slew, load))
    return sum(sum(values) / len(values) for values in by_supply.values())


def _slew(net: Net | None, timing: Timing) -> float:
    return timing.slews_ps.get(net, 0.0) if isinstance(net, int) else 0.0

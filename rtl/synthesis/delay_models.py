"""Energy of a circuit by model of delay: how much glitches, and what is assumed about them, move its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from amaranth.lib import wiring

from .liberty.cells import CellLibrary
from .measure import map_for_clock
from .netlist.glitches import DelayModel, GlitchSimulator
from .netlist.power import EnergyModel
from .netlist.simulator import NetlistSimulator
from .stimuli.circuits import Stimulus

SCALES = (0.8, 1.2)
"""Factors of delays."""
SEED = 0


@dataclass(frozen=True)
class DelayModelRun:
    """Energy of a clocked circuit in one run, in pJ an operation, for each model of delay.

    Attributes
    ----------
    run : `str`
        Name of the run, such as ``M=7``.
    zero_delay_pj : `float`
        Cells have no delay: no glitches.
    inertial_pj : `float`
        Delays of static timing, the model of all other figures.
    faster_pj, slower_pj : `float`
        All delays times 0.8 and times 1.2.
    varied_pj : `float`
        The delays of each cell times a factor of its own between 0.8 and 1.2.
    transport_pj : `float`
        No pulse is lost, however short.
    zero_delay_toggles, inertial_toggles : `float`
        Toggles per net and cycle.
    """

    run: str
    zero_delay_pj: float
    inertial_pj: float
    faster_pj: float
    slower_pj: float
    varied_pj: float
    transport_pj: float
    zero_delay_toggles: float
    inertial_toggles: float


def compare_delay_models(
    design: wiring.Component, stimuli: Sequence[Stimulus], library: CellLibrary, clock_ps: float
) -> list[DelayModelRun]:
    """Energy of a clocked circuit in each run, by model of delay; its netlist is that of `measure`."""
    _, netlist, timing = map_for_clock(design, library, clock_ps)
    simulator, energies = NetlistSimulator(netlist), EnergyModel(netlist, timing)
    period_ps = max(clock_ps, timing.critical_ps)
    driven = [net for instance in netlist.instances for net in instance.nets.values() if isinstance(net, int)]
    factors = np.random.default_rng(SEED).uniform(*SCALES, max(driven, default=0) + 1).tolist()

    def delays(scale: float | Mapping[int, float] = 1.0, model: DelayModel = "inertial") -> GlitchSimulator:
        return GlitchSimulator(simulator, timing, model=model, scale=scale)

    machines = {
        "inertial_pj": delays(),
        "faster_pj": delays(SCALES[0]),
        "slower_pj": delays(SCALES[1]),
        "varied_pj": delays(dict(enumerate(factors))),
        "transport_pj": delays(model="transport"),
    }
    found: list[DelayModelRun] = []
    for stimulus in stimuli:
        simulator.run_streams(stimulus.inputs, stimulus.outputs, [], stimulus.pauses)
        settled = simulator.activity()
        activities = {name: replace(settled, toggles=machine.toggles()) for name, machine in machines.items()}
        per_operation = settled.cycles / stimulus.operations * 1e-3
        values = {
            name: energies.cycle_energy(activity).total_fj(period_ps) * per_operation
            for name, activity in ({"zero_delay_pj": settled} | activities).items()
        }
        rates = settled.toggle_rate, activities["inertial_pj"].toggle_rate
        found.append(DelayModelRun(stimulus.name, **values, zero_delay_toggles=rates[0], inertial_toggles=rates[1]))
    return found

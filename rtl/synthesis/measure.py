"""The whole way from a circuit to its area, timing and power, in one library at one clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.lib import wiring

from ...formats import InputError
from ..simulation.compiled import CompiledCircuit, compile_design
from .flow import Effort, map_design, output_load_ff
from .liberty.cells import CellLibrary
from .netlist.netlist import Netlist
from .netlist.power import Activity, CycleEnergy, EnergyModel
from .netlist.simulator import GateKernel
from .netlist.timing import Timing, analyze_timing
from .stimuli.circuits import Stimulus

EFFORTS: Sequence[Effort] = ("area", "speed", "delay")
"""In the order in which they are tried until the clock is met."""

NOT_INCLUDED = "wires, clock tree and glitches are not in it"


class NetlistMismatchError(InputError):
    """A netlist does not compute what the circuit does: none of its numbers may be used."""


@dataclass(frozen=True)
class Run:
    """Energy of one stimulus.

    Attributes
    ----------
    name : `str`
        Of the stimulus.
    cycles : `int`
        Of the simulation.
    operations, operation : `int`, `str`
        As of `Stimulus`.
    energy : `CycleEnergy`
        Of a mean cycle.
    toggle_rate : `float`
        Mean toggles per net and cycle.
    compared : `int`
        Payloads of the netlist that were compared, all equal.
    activity : `Activity`
        What the nets did.
    """

    name: str
    cycles: int
    operations: int
    operation: str
    energy: CycleEnergy
    toggle_rate: float
    compared: int
    activity: Activity


@dataclass(frozen=True)
class Measurement:
    """A circuit in a library at a target clock.

    Attributes
    ----------
    clock_ps : `float`
        The target.
    effort : `str`
        Of the mapping that was taken.
    netlist : `Netlist`
    timing : `Timing`
    runs : `list` of `Run`
    """

    clock_ps: float
    effort: Effort
    netlist: Netlist
    timing: Timing
    runs: list[Run]

    @property
    def clock_met(self) -> bool:
        """Whether the netlist keeps the target."""
        return self.timing.critical_ps <= self.clock_ps

    @property
    def period_ps(self) -> float:
        """The clock that powers are stated at: the target, or the least that the netlist keeps."""
        return max(self.clock_ps, self.timing.critical_ps)


def measure(
    design: wiring.Component, stimuli: Sequence[Stimulus], library: CellLibrary, clock_ps: float
) -> Measurement:
    """Map, time and simulate a circuit.

    Raises
    ------
    NetlistMismatchError
        The netlist does not give what `formats` or the circuit before synthesis give.
    InputError
        The library lacks cells, or a tool is missing.
    """
    effort, netlist, timing = map_for_clock(design, library, clock_ps)
    simulator = GateKernel(netlist)
    # formats speaks for a whole output, or else the circuit before synthesis does
    told = all(stimulus.expected.keys() == stimulus.outputs.keys() and not stimulus.masks for stimulus in stimuli)
    reference = None if told else compile_design(design, "cxxrtl")
    energies = EnergyModel(netlist, timing)
    runs = [_run(stimulus, simulator, reference, energies) for stimulus in stimuli]
    return Measurement(clock_ps, effort, netlist, timing, runs)


def map_for_clock(design: wiring.Component, library: CellLibrary, clock_ps: float) -> tuple[Effort, Netlist, Timing]:
    """The first mapping that keeps the clock, or else the fastest."""
    found: list[tuple[Effort, Netlist, Timing]] = []
    for effort in EFFORTS:
        netlist = map_design(design, library, clock_ps, effort)
        timing = analyze_timing(netlist, output_load_ff(library))
        found.append((effort, netlist, timing))
        if timing.critical_ps <= clock_ps:
            return found[-1]
    return min(found, key=lambda mapping: mapping[2].critical_ps)


def _run(stimulus: Stimulus, simulator: GateKernel, reference: CompiledCircuit | None, energies: EnergyModel) -> Run:
    """Simulate the netlist, compare it, and take its energy."""
    gates = _simulate(stimulus, simulator)
    circuit = _simulate(stimulus, reference) if reference else {}
    for port, values in circuit.items():
        _compare(stimulus, port, gates[port], values, "the circuit before synthesis")
    for port, values in stimulus.expected.items():
        masks = stimulus.masks.get(port, [-1] * len(values))
        got, wanted = ([v & mask for v, mask in zip(side, masks, strict=True)] for side in (gates[port], values))
        _compare(stimulus, port, got, wanted, "formats")
    activity = Activity(simulator.toggles(), simulator.cycles(), simulator.ones())
    rate = sum(activity.toggles.values()) / max(len(activity.toggles), 1) / activity.cycles
    compared = sum(len(values) for port, values in gates.items() if not port.endswith("@cycles"))
    energy = energies.cycle_energy(activity)
    return Run(
        stimulus.name, activity.cycles, stimulus.operations, stimulus.operation, energy, rate, compared, activity
    )


def _simulate(stimulus: Stimulus, machine: GateKernel | CompiledCircuit) -> Mapping[str, Sequence[Any]]:
    """The payloads of each output, and under ``port@cycles`` when they came."""
    if not stimulus.is_clocked:
        return machine.run_vectors(stimulus.inputs, list(stimulus.outputs))
    transfers = machine.run_streams(stimulus.inputs, stimulus.outputs, [], stimulus.pauses).transfers
    found: dict[str, Sequence[Any]] = {port: transfers[port].payloads for port in stimulus.outputs}
    return found | {f"{port}@cycles": transfers[port].cycles for port in stimulus.outputs}


def _compare(stimulus: Stimulus, port: str, got: Sequence[Any], wanted: Sequence[Any], authority: str) -> None:
    differing = np.flatnonzero([left != right for left, right in zip(got, wanted, strict=True)])
    if differing.size:
        raise NetlistMismatchError(
            f"netlist: {differing.size} of {len(wanted)} values of {port} differ from {authority} ({stimulus.name}, the "
            f"first at {differing[0]}); no figure is reported; report this as a bug"
        )

"""Simulation of a circuit in one of three simulators: sends inputs, collects outputs, counts cycles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from amaranth.lib import wiring

from ...formats import InputError
from ...formats.checks import check_choice
from . import amaranth_simulator, compiled
from .streams import STALL_LIMIT_CYCLES, Pauses, Payloads, StreamRun

SimulatorName = Literal["amaranth", "cxxrtl", "verilator"]


def run_streams(
    design: wiring.Component,
    inputs: Payloads,
    outputs: Mapping[str, int],
    *,
    flags: Sequence[str] = (),
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
    vcd: Path | None = None,
    patience_cycles: int = STALL_LIMIT_CYCLES,
) -> StreamRun:
    """Run a circuit with stream ports until every input is sent and every output is received.

    Every simulator gives the same payloads in the same cycles.

    Parameters
    ----------
    design : `wiring.Component`
        The circuit. Streams that are in neither mapping stay idle.
    inputs : mapping of port to packed payloads
        Payloads to send, in order.
    outputs : mapping of port to count
        Number of payloads to receive.
    flags : sequence of ports
        Plain outputs to read at the end.
    pauses : mapping of port to sequence of `bool`
        Bubbles and back-pressure: the cycles in which a port pauses. The sequence repeats.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``. The last two are hundreds to thousands of times faster, after a
        build that takes seconds.
    vcd : path
        Waveform file to write; only ``"amaranth"`` can.
    patience_cycles : `int`
        Cycles without a transfer after which `StalledError` is raised.

    Raises
    ------
    StalledError
        No transfer happens for `patience_cycles` although payloads are left.
    InputError
        The simulator is unknown, not installed, or cannot write a waveform.
    """
    pauses = pauses or {}
    check_simulator(simulator)
    if simulator == "amaranth":
        elaborated = amaranth_simulator.AmaranthCircuit(design)
        return elaborated.run_streams(inputs, outputs, flags, pauses, patience_cycles, vcd)
    if vcd is not None:
        raise InputError(f"vcd: {simulator} writes no waveform; leave out vcd or choose the simulator amaranth")
    circuit = compiled.compile_design(design, simulator)
    return circuit.run_streams(inputs, outputs, flags, pauses, patience_cycles)


def run_vectors(
    design: wiring.Component,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    *,
    simulator: SimulatorName = "amaranth",
) -> dict[str, list[int]]:
    """Outputs of a combinational circuit for each row of inputs, as unsigned integers.

    Parameters
    ----------
    design : `wiring.Component`
        The circuit.
    inputs : mapping of port to sequence of `int`
        Values of each input, one for each row.
    outputs : sequence of ports
        Outputs to read.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``.

    Raises
    ------
    InputError
        The simulator is unknown or not installed.
    """
    check_simulator(simulator)
    if simulator == "amaranth":
        return amaranth_simulator.run_vectors(design, inputs, outputs)
    return compiled.compile_design(design, simulator).run_vectors(inputs, outputs)


def check_simulator(simulator: str) -> None:
    """Raise `InputError` unless `simulator` is the name of a simulator."""
    check_choice("simulator", simulator, get_args(SimulatorName))

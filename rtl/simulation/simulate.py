"""Simulates circuits: feeds their inputs, collects their outputs, counts the cycles, in one of three simulators."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from amaranth.lib import wiring

from ...formats import InputError
from . import amaranth_simulator
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
    """Run a circuit whose ports are streams until every input is sent and every output received.

    Every simulator gives the same payloads in the same cycles.

    Parameters
    ----------
    design : `wiring.Component`
        The circuit. Streams that are named in neither mapping stay idle.
    inputs : mapping of port to packed payloads
        What to send, in order.
    outputs : mapping of port to count
        How many payloads to receive.
    flags : sequence of ports
        Plain outputs to read at the end.
    pauses : mapping of port to sequence of `bool`
        Bubbles and back-pressure: in which cycles the port pauses, repeated.
    simulator : `str`
        ``"amaranth"``, or for hundreds to thousands of times its speed after a build of seconds ``"cxxrtl"`` or ``"verilator"``.
    vcd : path
        Where to write the waveform, if anywhere; only ``"amaranth"`` writes one.
    patience_cycles : `int`
        After how many cycles without a transfer it has stopped short.

    Raises
    ------
    StalledError
        The circuit stops short.
    InputError
        The simulator is unknown, not installed, or cannot write a waveform.
    """
    pauses = pauses or {}
    check_simulator(simulator)
    if simulator == "amaranth":
        return amaranth_simulator.run_streams(design, inputs, outputs, flags, pauses, vcd, patience_cycles)
    if vcd:
        raise InputError(f"vcd: {simulator} writes no waveform; choose the simulator amaranth")
    from . import compiled

    circuit = compiled.compile_design(design, simulator)
    return circuit.run_streams(inputs, outputs, flags, pauses, patience_cycles)


def run_vectors(
    design: wiring.Component,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    *,
    simulator: SimulatorName = "amaranth",
) -> dict[str, list[int]]:
    """Apply inputs to a combinational circuit, one row after the other: its outputs, as unsigned integers.

    Raises
    ------
    InputError
        The simulator is unknown or not installed.
    """
    check_simulator(simulator)
    if simulator == "amaranth":
        return amaranth_simulator.run_vectors(design, inputs, outputs)
    from . import compiled

    return compiled.compile_design(design, simulator).run_vectors(inputs, outputs)


def check_simulator(simulator: str) -> None:
    """Raise `InputError` if there is no such simulator."""
    if simulator not in get_args(SimulatorName):
        choices = ", ".join(get_args(SimulatorName))
        raise InputError(f"simulator: there is no {simulator!r}; choose one of {choices}")

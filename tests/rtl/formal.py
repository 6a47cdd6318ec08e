"""Proofs about circuits, by the SAT solver in Yosys: for every input, over a stated number of clock cycles.

A claim is a circuit whose inputs are free, with `amaranth.hdl.Assert` and `Assume` about what is in it. The solver's answer is
kept under a hash of all that decides it: the claim's netlist, the solver's steps and its version.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Assume, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from anda_codesign.rtl.interfaces import Stream
from anda_codesign.rtl.tools import require_package, yosys
from anda_codesign.workloads.fetch import cache_dir
from anda_codesign.workloads.files import cached

_TOP = "claim"


class RefutedError(AssertionError):
    """An assertion can fail; the message is the solver's counterexample."""


class UnreachedError(AssertionError):
    """No run within the bound reaches an assertion: nothing is proven."""


class Claim(wiring.Component):
    """A circuit with assertions. Its inputs, by name and shape, are what the solver chooses anew in every cycle."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        super().__init__({name: In(shape) for name, shape in inputs.items()})


def prove(
    claim: Claim, *, cycles: int = 1, any_state: bool = False, mutate: Callable[[str], str] | None = None
) -> None:
    """Prove that no assertion of `claim` fails in its first clock cycles, whatever the inputs.

    Parameters
    ----------
    claim
        What to prove. In a cycle in which an assumption does not hold, and in the runs that contain it, nothing is
        claimed.
    cycles
        Clock cycles to look at; 1 for a combinational circuit.
    any_state
        Start from every state of the submodules' registers, not from reset.
    mutate
        Changes the netlist (RTLIL) first: to see that a broken circuit is refuted.

    Raises
    ------
    RefutedError
        An assertion can fail.
    UnreachedError
        No run within the bound that the assumptions allow reaches an assertion.
    InputError
        Yosys is missing.
    """
    require_package("pyosys")
    netlist = rtlil.convert(claim, name=_TOP, emit_src=False)
    if mutate:
        netlist = mutate(netlist)
    steps = ["read_rtlil claim.il", f"prep -top {_TOP} -flatten"]
    if any_state:
        steps.append("setattr -unset init w:*.*")
    steps += ["memory_map", "chformal -lower", "async2sync", "dffunmap", "opt -full", "clean"]
    sequence = f"-set rst 0 -seq {cycles}" if cycles > 1 else ""
    steps.append(f"sat -verify -prove-asserts -set-assumes {sequence} {_TOP}")
    if counterexample := _solved(steps, netlist):
        raise RefutedError(counterexample)
    if mutate is None and not _solved(steps, _without_truth(netlist)):
        raise UnreachedError(f"no run of {cycles} cycles reaches an assertion; take more cycles or assume less")


def _without_truth(netlist: str) -> str:
    """The netlist with assertions that fail as soon as they are reached: a cover of all of them."""
    return re.sub(r'(parameter \\FLAVOR "assert"\n(?:    connect .*\n)*?    connect \\A ).*', r"\g<1>1'0", netlist)


def _solved(steps: Sequence[str], netlist: str) -> str:
    """The counterexample, from the cache or from the solver; empty if there is none."""
    recipe = "\0".join([version("pyosys"), *steps, netlist])
    path = cache_dir() / "proofs" / hashlib.sha256(recipe.encode()).hexdigest()[:32]
    return cached(path, lambda: _counterexample(steps, netlist).encode()).decode()


def _counterexample(steps: Sequence[str], netlist: str) -> str:
    """The solver's message if an assertion can fail, else nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "claim.il").write_text(netlist)
        try:
            yosys(steps, Path(folder))
        except RuntimeError as error:
            if "proof did fail" not in str(error) and "FAIL" not in str(error):
                raise
            return str(error)
    return ""


def choose(m: Module, choice: Signal) -> Signal:
    """Assume that the solver chooses this input once for the whole run."""
    chosen = Signal(name=f"{choice.name}_chosen")
    kept = Signal.like(choice, name=f"{choice.name}_kept")
    m.d.sync += [chosen.eq(1), kept.eq(choice)]
    with m.If(chosen):
        m.d.comb += Assume(choice == kept)
    return choice


def count_transfers(m: Module, port: Stream, name: str, bits: int = 6) -> tuple[Signal, Value]:
    """How many payloads have moved through a stream before this cycle, and whether one moves now."""
    count = Signal(bits, name=f"{name}_count")
    moves = port.valid & port.ready
    m.d.sync += count.eq(count + moves)
    return count, moves


def keeps_rule(m: Module, port: Stream, name: str) -> Value:
    """The rule of streams: what has been offered stays until it has moved."""
    waiting = Signal(name=f"{name}_waiting")
    payload = Value.cast(port.payload)
    offered = Signal(len(payload), name=f"{name}_offered")
    m.d.sync += [waiting.eq(port.valid & ~port.ready), offered.eq(payload)]
    return ~waiting | (port.valid & (payload == offered))


def makes_progress(m: Module, source: Stream, sink: Stream, limit: int) -> Value:
    """While the producer offers and the consumer is ready, something moves at least every `limit` cycles."""
    idle = Signal(range(limit + 1), name="idle")
    moves = (source.valid & source.ready) | (sink.valid & sink.ready)
    m.d.sync += idle.eq(Mux(source.valid & sink.ready & ~moves, idle + 1, 0))
    return idle < limit

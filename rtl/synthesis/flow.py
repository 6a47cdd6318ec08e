"""Mapping of a circuit to a gate netlist with Yosys and ABC."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from amaranth.lib import wiring

from ...formats import InputError
from ...formats.documents.yaml_file import read_yaml
from ...workloads.fetch import cache_dir
from ...workloads.files import cached
from ..rtlil import to_rtlil
from ..simulation.build import TOP, require_simulator
from ..tools import yosys
from .liberty.cell import Cell
from .liberty.cells import CellLibrary
from .netlist.netlist import Netlist, read_netlist

Effort = Literal["area", "speed", "delay"]

OUTPUT_LOAD_PINS = 4
"""Load of an output: this number of inputs of the library's smallest buffer."""

_SCRIPTS: Mapping[Effort, str] = {
    # Yosys' own script for a library with constraints
    "area": "",
    # the same preparation, then mapping for delay
    "speed": "-script +strash;ifraig;scorr;dc2;dch,-f;map,-B,0.9;topo;buffer,-c;upsize,{D};dnsize,{D};stime,-p",
    # logic, above all adders, is rebuilt with few levels, then mapped for delay
    "delay": "-script +strash;if,-g,-K,6;dch,-f;map,-B,0.9;topo;buffer,-c;upsize,{D};dnsize,{D};stime,-p",
}


def is_usable(cell: Cell, library: CellLibrary) -> bool:
    """True if mapping may use a cell: it is no latch, is understood, and is not on the library's list of unused cells."""
    return (
        cell.kind != "latch"
        and not cell.unread
        and not any(fnmatch(cell.name, pattern) for pattern in dont_use(library.name))
    )


def dont_use(library: str) -> Sequence[str]:
    """Name patterns of the cells of a library that mapping does not use."""
    return [pattern for name, patterns in _dont_use().items() if fnmatch(library, name) for pattern in patterns]


@cache
def _dont_use() -> dict[str, list[str]]:
    data = read_yaml(Path(__file__).with_name("dont_use.yaml"), "dont_use")
    return {name: entry["cells"] for name, entry in data.items()}


def buffer_cell(library: CellLibrary) -> Cell:
    """Smallest usable buffer of a library. It drives the inputs and loads the outputs of a netlist.

    Raises
    ------
    InputError
        The library lacks buffers, inverters, logic or flip-flops.
    """
    usable = [cell for cell in map(library.cell, library.cell_names) if is_usable(cell, library)]
    kinds = {cell.kind for cell in usable}
    for kind in ("flip-flop", "inverter or buffer", "logic"):
        if kind not in kinds:
            raise InputError(f"liberty: {library.name} has no usable {kind}; give all files of the library")
    simple = [cell for cell in usable if cell.kind == "inverter or buffer" and len(cell.outputs) == 1]
    buffers = [cell for cell in simple if (f := cell.outputs[0].function) and f.table == (False, True)]
    if not buffers:
        raise InputError(f"liberty: {library.name} has no usable buffer; give all files of the library")
    return min(buffers, key=lambda cell: (cell.area_um2, cell.name))


def output_load_ff(library: CellLibrary) -> float:
    """Load of each output of a netlist, in fF."""
    inputs = [pin for pin in buffer_cell(library).pins.values() if pin.is_input]
    return OUTPUT_LOAD_PINS * inputs[0].mean_capacitance


def map_design(design: wiring.Component, library: CellLibrary, clock_ps: float, effort: Effort) -> Netlist:
    """Flat netlist of a circuit in the cells of a library, from the cache or mapped now.

    Parameters
    ----------
    design : `wiring.Component`
        The circuit.
    library : `CellLibrary`
        Cells to use.
    clock_ps : `float`
        Target clock period, in ps.
    effort : `str`
        ``"area"``, ``"speed"`` or ``"delay"``.

    Raises
    ------
    InputError
        Yosys is not installed, the library lacks a class of cells, or part of the circuit cannot be mapped to it.
    """
    require_simulator("cxxrtl")
    constraints = (
        f"set_driving_cell {buffer_cell(library).name}\nset_load {output_load_ff(library):.6g} [all_outputs]\n"
    )
    commands = _commands(library, clock_ps, effort)
    rtlil = design_rtlil(design)
    recipe = "\0".join([version("pyosys"), *commands, constraints, rtlil, library_hash(library)])
    path = cache_dir() / "netlists" / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}"

    def mapped() -> bytes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "circuit.il").write_text(rtlil)
            (folder / "constraints").write_text(constraints)
            try:
                yosys(commands, folder)
            except RuntimeError as failed:  # ABC fails if a cell that it needs is missing
                message = f"design: cannot be mapped to the cells of {library.name}; give all files of the library"
                raise InputError(message) from failed
            return (folder / "netlist.json").read_bytes()

    return read_netlist(cached(path, mapped), TOP, library)


@lru_cache(maxsize=2)
def design_rtlil(design: wiring.Component) -> str:
    """RTLIL of a circuit. The last two are kept, because each mapping and the cache need it."""
    return "\n".join(to_rtlil(design, TOP).values())


def _commands(library: CellLibrary, clock_ps: float, effort: Effort) -> list[str]:
    latches = [name for name in library.cell_names if library.cell(name).kind == "latch"]
    files = " ".join(f"-liberty {file.absolute()}" for file in library.files)
    excluded = " ".join(f"-dont_use {name}" for name in [*dont_use(library.name), *latches])
    return [
        "read_rtlil circuit.il",
        f"synth -flatten -top {TOP}",
        "opt -purge",
        f"dfflibmap {files} {excluded}",
        "opt",
        f"abc -D {clock_ps:g} -constr constraints {_SCRIPTS[effort]} {files} {excluded}",
        "opt_clean -purge",
        "write_json netlist.json",
    ]


@cache
def _file_hash(path: Path, modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def library_hash(library: CellLibrary) -> str:
    """SHA-256 over the hashes of a library's files."""
    hashes = [_file_hash(path, path.stat().st_mtime_ns) for path in library.files]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()

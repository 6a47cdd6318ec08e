"""Measures every circuit in one library and writes its table of results (``rtl/synthesis/results``)."""

import argparse
import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from anda_codesign.experiments.progress import stage
from anda_codesign.experiments.synthesis.elements import (
    CLOCK_MANTISSA_BITS,
    GLITCH_ELEMENTS,
    GLITCH_MANTISSA_BITS,
    clock_elements,
    elements,
)
from anda_codesign.rtl import create_design
from anda_codesign.rtl.synthesis import CellLibrary, Operands, all_designs, find_library, load_operands, synthesize
from anda_codesign.rtl.synthesis.delay_models import compare_delay_models
from anda_codesign.rtl.synthesis.results import FOLDER, GlitchResult, IdleResult, SynthesisResult
from anda_codesign.rtl.synthesis.stimuli.operands import DEFAULT_TOKENS, default_trace
from anda_codesign.rtl.synthesis.stimuli.registry import stimuli

CLOCK_PS = 3508.0
MANTISSA_BITS = range(4, 14)
ZERO_DELAY = "zero_delay_pj_per_operation"
PROVENANCE = FOLDER / "provenance.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every circuit in a library. Earlier measurements are reused.")
    parser.add_argument("name", help="name of the table, such as asap7")
    parser.add_argument("--liberty", type=Path, nargs="*", default=[], help="files or a folder (default: OSU 0.18 um)")
    parser.add_argument("--origin", required=True, help="source of the library, for readers")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        help='circuits to add to the table, such as bpc-lane or fp-fp-pe:{"adder_stages": 3} (default: all)',
    )
    parser.add_argument(
        "--clocks",
        type=float,
        nargs="*",
        default=[],
        metavar="PS",
        help="measure some elements at these periods, into clocks/",
    )
    parser.add_argument(
        "--idle", action="store_true", help="measure the elements with held operands, into idle/, and nothing else"
    )
    parser.add_argument(
        "--delay-models",
        action="store_true",
        help="measure elements by model of delay, into glitches/, and nothing else",
    )
    options = parser.parse_args()
    library, operands = find_library(options.liberty), load_operands()
    if options.clocks:
        measure_clocks(options.name, library, operands, options.clocks)
        return
    if options.idle:
        measure_idle(options.name, library, operands)
        return
    if options.delay_models:
        measure_delay_models(options.name, library, operands)
        return
    known = all_designs()
    designs = [found for found in known if not options.only or is_asked_for(*found, options.only)]
    documents: list[dict[str, Any]] = []
    with stage(f"synthesis in {library.name}", len(designs)) as advance:
        for design, parameters in designs:
            documents.append(synthesize(design, parameters, library, CLOCK_PS, operands, list(MANTISSA_BITS)))
            advance(1)
    kept = (
        {(design, json.dumps(parameters)) for design, parameters in known} if options.only else set[tuple[str, str]]()
    )
    write_table(FOLDER / f"{options.name}.csv", documents, kept)
    write_provenance(options.name, library, options.origin, operands, documents[0], whole=not options.only)


def measure_clocks(name: str, library: CellLibrary, operands: Operands, clocks: list[float]) -> None:
    """Measure the elements of the clock figure for each period."""
    circuits = list(clock_elements(name).values())
    documents: list[dict[str, Any]] = []
    with stage(f"clocks in {library.name}", len(circuits) * len(clocks)) as advance:
        for design, parameters in circuits:
            for clock in clocks:
                documents.append(synthesize(design, parameters, library, clock, operands, [CLOCK_MANTISSA_BITS]))
                advance(1)
    path = FOLDER / "clocks" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    write_table(path, documents, set())


def measure_idle(name: str, library: CellLibrary, operands: Operands) -> None:
    """Measure the energy of each element of the technology files while its operands are held."""
    circuits = list(elements(name).values())
    rows: list[dict[str, Any]] = []
    with stage(f"idle elements in {library.name}", len(circuits)) as advance:
        for design, parameters in circuits:
            document = synthesize(design, parameters, library, CLOCK_PS, operands, [CLOCK_MANTISSA_BITS])
            run = document["runs"][-1]
            working = sum(run[f"{part}_pj_per_cycle"] for part in ("switching", "internal", "clock"))
            found = {"parameters": json.dumps(parameters), "working_pj_per_cycle": f"{working:.6g}"}
            rows.append({field: (document | run | found)[field] for field in IdleResult.__dataclass_fields__})
            advance(1)
    write_rows(FOLDER / "idle" / f"{name}.csv", list(IdleResult.__dataclass_fields__), rows)


def write_rows(path: Path, fields: list[str], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def measure_delay_models(name: str, library: CellLibrary, operands: Operands) -> None:
    """Measure energies of some elements by model of delay."""
    rows: list[dict[str, Any]] = []
    with stage(f"delay models in {library.name}", len(GLITCH_ELEMENTS)) as advance:
        for element in GLITCH_ELEMENTS:
            design, parameters = elements(name)[element]
            circuit = create_design(design, **parameters)
            runs = stimuli(circuit, operands, list(GLITCH_MANTISSA_BITS))
            for found in compare_delay_models(circuit, runs, library, CLOCK_PS):
                values = {field: f"{value:.6g}" for field, value in asdict(found).items() if field != "run"}
                rows.append({"design": design, "parameters": json.dumps(parameters), "run": found.run} | values)
            advance(1)
    write_rows(FOLDER / "glitches" / f"{name}.csv", list(GlitchResult.__dataclass_fields__), rows)


def is_asked_for(design: str, parameters: dict[str, Any], only: list[str]) -> bool:
    asked = [entry.partition(":") for entry in only]
    return any(name == design and (not text or json.loads(text) == parameters) for name, _, text in asked)


def write_table(path: Path, documents: list[dict[str, Any]], kept: set[tuple[str, str]]) -> None:
    """Write the runs of the documents, sorted, and keep the runs of other circuits in `kept`."""
    measured = {(document["design"], json.dumps(document["parameters"])) for document in documents}
    lines: list[dict[str, str]] = []
    if kept - measured and path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.DictReader(file) if (line["design"], line["parameters"]) in kept - measured]
    # a table that was measured without glitches stays so until all of it is measured anew
    settled = bool(lines) and ZERO_DELAY not in lines[0]
    rows = [row(document, run, settled) for document in documents for run in document["runs"]] + lines
    # the sort is stable: runs of a circuit keep their order
    rows.sort(key=lambda line: (line["design"], len(line["parameters"]), line["parameters"]))
    with path.open("w", encoding="utf-8", newline="") as file:
        fields = [name for name in SynthesisResult.__dataclass_fields__ if not (settled and name == ZERO_DELAY)]
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def row(document: dict[str, Any], run: dict[str, Any], settled: bool) -> dict[str, Any]:
    """Row of a run: with glitches and the energy without delays beside it, or all as if cells had no delay (`settled`)."""
    energies = {name: run[f"zero_delay_{name}"] for name in ("energy_pj_per_cycle", "energy_pj_per_operation")}
    dynamic = sum(run[f"{part}_pj_per_cycle"] for part in ("switching", "internal", "clock"))
    if settled:
        dynamic = run["zero_delay_dynamic_pj_per_cycle"]
    derived = (energies if settled else {ZERO_DELAY: energies["energy_pj_per_operation"]}) | {
        "parameters": json.dumps(document["parameters"]),
        "flip_flop_area_um2": document["area_by_class"].get("flip-flop", {"area_um2": 0.0})["area_um2"],
        "dynamic_pj_per_cycle": f"{dynamic:.6g}",
    }
    names = SynthesisResult.__dataclass_fields__
    return {name: value for name, value in (document | run | derived).items() if name in names}


def write_provenance(
    name: str, library: CellLibrary, origin: str, operands: Operands, document: dict[str, Any], *, whole: bool
) -> None:
    """Add a library to ``provenance.yaml``."""
    found = yaml.safe_load(PROVENANCE.read_text("utf-8")) if PROVENANCE.exists() else {"libraries": {}}
    found["clock_ps"] = CLOCK_PS
    if whole:
        found["not_included"] = document["not_included"]
    found["tools"] = document["tools"]
    found["operands"] = {
        "sha256": operands.sha256,
        "groups": len(operands.codes),
        "lanes": operands.lanes,
        "source": f"SmolLM2-135M-Instruct Q4_1, built-in text, calibration split, {DEFAULT_TOKENS} tokens, layers "
        f"{', '.join(map(str, default_trace().metadata['layers']))}, modules qkv, o, u, d alike",
    }
    found["libraries"][name] = document["library"] | {"origin": origin, "temperature_c": library.temperature}
    PROVENANCE.write_text(yaml.safe_dump(found, sort_keys=False, width=120), "utf-8")


if __name__ == "__main__":
    main()

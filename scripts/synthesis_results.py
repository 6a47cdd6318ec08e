"""Measures every circuit in one library and writes its table of results (``rtl/synthesis/results``)."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import yaml
from anda_codesign.experiments.progress import stage
from anda_codesign.experiments.synthesis.elements import CLOCK_MANTISSA_BITS, clock_elements, elements
from anda_codesign.rtl.synthesis import CellLibrary, Operands, all_designs, find_library, load_operands, synthesize
from anda_codesign.rtl.synthesis.results import FOLDER, IdleResult, SynthesisResult
from anda_codesign.rtl.synthesis.stimuli.operands import DEFAULT_TOKENS, default_trace

CLOCK_PS = 3508.0
MANTISSA_BITS = range(4, 14)
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
    options = parser.parse_args()
    library, operands = find_library(options.liberty), load_operands()
    if options.clocks:
        measure_clocks(options.name, library, operands, options.clocks)
        return
    if options.idle:
        measure_idle(options.name, library, operands)
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
    write_provenance(options.name, library, options.origin, operands, documents[0])


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
    path = FOLDER / "idle" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(IdleResult.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def is_asked_for(design: str, parameters: dict[str, Any], only: list[str]) -> bool:
    asked = [entry.partition(":") for entry in only]
    return any(name == design and (not text or json.loads(text) == parameters) for name, _, text in asked)


def write_table(path: Path, documents: list[dict[str, Any]], kept: set[tuple[str, str]]) -> None:
    """Write the runs of the documents, sorted, and keep the runs of other circuits in `kept`."""
    rows = [row(document, run) for document in documents for run in document["runs"]]
    kept -= {(line["design"], line["parameters"]) for line in rows}
    if kept and path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows += [line for line in csv.DictReader(file) if (line["design"], line["parameters"]) in kept]
    # the sort is stable: runs of a circuit keep their order
    rows.sort(key=lambda line: (line["design"], len(line["parameters"]), line["parameters"]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(SynthesisResult.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def row(document: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    dynamic = sum(run[f"{part}_pj_per_cycle"] for part in ("switching", "internal", "clock"))
    derived = {
        "parameters": json.dumps(document["parameters"]),
        "flip_flop_area_um2": document["area_by_class"].get("flip-flop", {"area_um2": 0.0})["area_um2"],
        "dynamic_pj_per_cycle": f"{dynamic:.6g}",
    }
    return {name: (document | run | derived)[name] for name in SynthesisResult.__dataclass_fields__}


def write_provenance(
    name: str, library: CellLibrary, origin: str, operands: Operands, document: dict[str, Any]
) -> None:
    """Add a library to ``provenance.yaml``."""
    found = yaml.safe_load(PROVENANCE.read_text("utf-8")) if PROVENANCE.exists() else {"libraries": {}}
    found["clock_ps"] = CLOCK_PS
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

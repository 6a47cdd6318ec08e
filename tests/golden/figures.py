"""Figures that the program prints for a fixed set of commands, compared with `figures.json`, which an earlier version wrote.

``python tests/golden/figures.py check --report FOLDER`` runs all commands and shows every figure that differs; FOLDER is a report of `make run`.
``write`` renews the file: only for a change that is meant to move numbers. Texts are left out: names and sentences may change, figures may not.
"""

import argparse
import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from anda_codesign.experiments.cli import main

FILE = Path(__file__).with_name("figures.json")
ARCHITECTURES = ("anda", "figna", "figna-m11", "figna-m8", "fp-fp", "fp-int", "ifpu")
TECHNOLOGIES = ("paper-16nm", "asap7", "sky130", "osu018", "cacti-16nm")
NEWER = (
    "interval_95_percent",
    "blocks",
    "kl_nats",
    "top1_disagreement_percent",
    "tempered_loss_percent",
    "bits_per_value",
)
GEMMS = ("2048x4096x4096", "1x4096x11008", "100x576x1536")


def printed(*arguments: str) -> Any:
    """The document that a command prints with ``--json -``."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()) as errors:
        status = main([*arguments, "--json", "-"])
    if status:
        raise SystemExit(f"anda {' '.join(arguments)}: status {status}: {errors.getvalue()}")
    return json.loads(out.getvalue())


def numbers(document: Any, place: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number of a document with its place, such as ``gemms.0.cycles``."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers(value, f"{place}.{key}" if place else str(key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from numbers(value, f"{place}.{index}")
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield place, document


def digest(document: Any) -> dict[str, Any]:
    """The numbers of the first levels of a document, and a hash of all."""
    found = dict(numbers(document))
    text = json.dumps(found, sort_keys=True)
    short = {place: value for place, value in found.items() if place.count(".") < 2 and not place.startswith("gemms")}
    return {**short, "sha256": hashlib.sha256(text.encode()).hexdigest()[:16], "numbers": len(found)}


def simulations() -> Iterator[tuple[str, Any]]:
    """`anda simulate` on every architecture, level and technology."""
    for technology in TECHNOLOGIES:
        for arch in ARCHITECTURES:
            machine = ["--arch", arch, "--technology", technology]
            bits = ["--m", "7"]
            for level in ("analytical", "events") if technology == "paper-16nm" else ("analytical",):
                for gemm in GEMMS:
                    command = ["simulate", "--gemm", gemm, *bits, *machine, "--level"]
                    yield " ".join([*command, level]), digest(printed(*command, level))
            command = ["simulate", "--model", "LLaMA-7B", "--precision", "7,5,6,6", *machine]
            yield " ".join(command), digest(printed(*command))
    for extra in (["--whole"], ["--whole", "--phase", "decode", "--tokens", "64", "--context", "512", "--batch", "4"]):
        for arch in ARCHITECTURES:
            command = ["simulate", "--model", "OPT-1.3B", "--precision", "8,6,7,7", "--arch", arch, *extra]
            yield " ".join(command), digest(printed(*command))
    more = (
        ["--whole", "--level", "events", "--tokens", "256"],
        ["--whole", "--kv-cache", "anda:8", "--vector-unit", "integer"],
        ["--memory", "hbm2", "--level", "events", "--tokens", "128"],
        ["--weights", "spqr-3"],
        ["--midpoint", "--objective", "edp"],
        ["--mapping", "model"],
        ["--group-cycles", "7.2,5.9,6.4,6.1"],
    )
    for extra in more:
        command = ["simulate", "--model", "LLaMA-7B", "--precision", "7,5,6,6", *extra]
        yield " ".join(command), digest(printed(*command))
    for gemm in ("64x1024x256", "33x320x96"):
        command = ["simulate", "--gemm", gemm, "--m", "6", "--arch", "anda", "--level"]
        yield " ".join([*command, "cycle"]), digest(printed(*command, "cycle"))


def catalogues() -> Iterator[tuple[str, Any]]:
    """The lists of models, architectures and formats, and an explanation."""
    for command in (["models"], ["archs"], ["formats"], ["explain", "--model", "LLaMA-7B", "--precision", "7,5,6,6"]):
        yield " ".join(command), digest(printed(*command))


def circuits() -> Iterator[tuple[str, Any]]:
    """The accelerator's cycles, GeMMs on its circuit, statistics of a trace."""
    yield "rtl cycles", digest(printed("rtl", "cycles"))
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.safetensors"
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            if main(["trace", "capture", "--out", str(trace)]):
                raise SystemExit("anda trace capture failed")
        for m in ("4", "7"):
            command = ["rtl", "run", "--rows", "2", "--columns", "2", "--m", m]
            yield " ".join(command), digest(printed(*command, "--trace", str(trace)))
        for command in (["trace", "planes"], ["formats", "compare"], ["trace", "info"]):
            yield (
                " ".join(command),
                digest(
                    printed(*command, str(trace))
                    if command[1] != "compare"
                    else printed(*command, "--trace", str(trace))
                ),
            )


def scoreboard() -> Iterator[tuple[str, Any]]:
    """Published and our values of every figure, computed afresh."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["reproduce", "all", "--blocks", "2"]
        rows = printed(*command, "--fresh", "--out", folder)
    yield " ".join(command), [[row["figure"], row["published"], row["ours"]] for row in rows]


def main_job(report: Path) -> Iterator[tuple[str, Any]]:
    """The table of `make run`, from its report folder; columns that follow from the kept ones, and `NEWER`, are left out."""
    import pandas as pd

    [table] = report.glob("**/*.parquet")
    rows = json.loads(pd.read_parquet(table).to_json(orient="records", double_precision=15))
    yield "make run", [{name: value for name, value in numbers(row) if name not in NEWER} for row in rows]


def differences(fresh: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """Commands whose figures differ, with both figures."""
    return [
        f"{command}\n  kept  {str(kept.get(command))[:300]}\n  fresh {str(fresh.get(command))[:300]}"
        for command in sorted({*kept, *fresh})
        if json.loads(json.dumps(fresh.get(command))) != kept.get(command)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("--report", type=Path, required=True, help="report folder of `make run`")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    for part in (simulations(), catalogues(), circuits(), scoreboard(), main_job(given.report)):
        for name, found in part:
            print(name, file=sys.stderr, flush=True)
            figures[name] = found
    if given.action == "write":
        FILE.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", "utf-8")
    else:
        different = differences(figures, json.loads(FILE.read_text("utf-8")))
        print("\n".join(different))
        print(f"{len(figures)} commands, {len(different)} differ")
        raise SystemExit(bool(different))

"""Writes the tables of docs/performance.md and docs/simulator.md from a file that pytest-benchmark wrote (``--benchmark-json``).

A benchmark states in its ``extra_info`` the ``work`` of one round and the ``unit`` of work per second; the one marked
``baseline`` is what the others of its group are compared with.

    python tests/benchmarks/table.py benchmark.json                        # prints the tables
    python tests/benchmarks/table.py benchmark.json docs/performance.md    # puts them after the document's marker
"""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

MARKER = "<!-- tables: written by tests/benchmarks/table.py -->"


def table(benchmarks: list[dict[str, Any]]) -> str:
    baseline = next((each for each in benchmarks if each["extra_info"].get("baseline")), None)
    lines = ["| benchmark | median | rate | time / baseline |", "|---|---:|---:|---:|"]
    for each in benchmarks:
        median, info = each["stats"]["median"], each["extra_info"]
        relative = ratio(each, baseline) if baseline else ""
        name = each["name"].removeprefix("test_").replace("_", " ")
        if "peak MiB" in info:
            name += f", {info['peak MiB']} MiB at most"
        rate = info["work"] / median
        shown = f"{rate:,.0f}" if rate >= 1000 else f"{rate:.2f}"
        lines.append(f"| {name} | {1e3 * median:.1f} ms | {shown} {info['unit']} | {relative} |")
    return "\n".join(lines)


def ratio(benchmark: dict[str, Any], baseline: dict[str, Any]) -> str:
    """Time for the same work, in times of the baseline."""
    seconds, reference = (each["stats"]["median"] / each["extra_info"]["work"] for each in (benchmark, baseline))
    return f"{seconds / reference:.2f}" if seconds > 0.1 * reference else f"1 / {reference / seconds:.0f}"


def tables(report: dict[str, Any]) -> str:
    machine = report["machine_info"]
    cpu = machine["cpu"]
    parts = [
        f"{cpu.get('brand_raw', 'Unknown processor')}, {cpu.get('count')} cores, Python {machine['python_version']}."
    ]
    measured = sorted((each for each in report["benchmarks"] if "work" in each["extra_info"]), key=group_of)
    parts += [f"### {group}\n\n{table(list(benchmarks))}" for group, benchmarks in groupby(measured, group_of)]
    return "\n\n".join(parts) + "\n"


def group_of(benchmark: dict[str, Any]) -> str:
    return benchmark["group"]


def main(report_path: str, document_path: str | None = None) -> None:
    text = tables(json.loads(Path(report_path).read_text()))
    if document_path is None:
        print(text)
        return
    document = Path(document_path)
    before, marker, _ = document.read_text().partition(MARKER)
    if not marker:
        sys.exit(f"{document_path}: has no line {MARKER!r}; add it where the tables belong")
    document.write_text(f"{before}{marker}\n\n{text}")


if __name__ == "__main__":
    main(*sys.argv[1:])

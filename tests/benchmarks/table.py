"""Tables of docs/performance.md and docs/simulator.md, from a file of pytest-benchmark (``--benchmark-json``).

Each benchmark states the ``work`` of one round and the ``unit`` of the work in its ``extra_info``. The others of a group
are compared with the benchmark that is marked ``baseline``.

    python tests/benchmarks/table.py benchmark.json                        # prints the tables
    python tests/benchmarks/table.py benchmark.json docs/performance.md    # writes them into the page
"""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from anda_codesign.experiments.markdown import markdown_table, renew_page


def table(benchmarks: list[dict[str, Any]]) -> str:
    """Markdown table of one group: median, rate, and time relative to the baseline."""
    baseline = next((each for each in benchmarks if each["extra_info"].get("baseline")), None)
    rows: list[list[str]] = []
    for each in benchmarks:
        median, info = each["stats"]["median"], each["extra_info"]
        relative = ratio(each, baseline) if baseline else ""
        name = each["name"].removeprefix("test_").replace("_", " ")
        if "peak MiB" in info:
            name += f", {info['peak MiB']} MiB at most"
        rate = info["work"] / median
        shown = f"{rate:,.0f}" if rate >= 1000 else f"{rate:.2f}"
        rows.append([name, f"{1e3 * median:.1f} ms", f"{shown} {info['unit']}", relative])
    return markdown_table(["benchmark", "median", "rate", "time / baseline"], rows)


def ratio(benchmark: dict[str, Any], baseline: dict[str, Any]) -> str:
    """Time for the same work, divided by the time of the baseline."""
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
    return "\n\n".join(parts)


def group_of(benchmark: dict[str, Any]) -> str:
    return benchmark["group"]


def main(report_path: str, page: str | None = None) -> None:
    text = tables(json.loads(Path(report_path).read_text()))
    if page is None:
        print(text)
    else:
        renew_page(Path(page), {"benchmarks": lambda: text})


if __name__ == "__main__":
    main(*sys.argv[1:])

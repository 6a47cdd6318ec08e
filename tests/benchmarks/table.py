"""Prints a file that pytest-benchmark wrote (``--benchmark-json``) as the tables of docs/performance.md.

A benchmark states in its ``extra_info`` the ``work`` of one round and the ``unit`` of work per second; the one marked
``baseline`` is what the others of its group are compared with.
"""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any


def rate(benchmark: dict[str, Any]) -> float:
    return benchmark["extra_info"]["work"] / benchmark["stats"]["median"]


def table(benchmarks: list[dict[str, Any]]) -> str:
    baseline = next((each for each in benchmarks if each["extra_info"].get("baseline")), None)
    lines = ["| benchmark | median | rate | time / baseline |", "|---|---:|---:|---:|"]
    for each in benchmarks:
        median = each["stats"]["median"]
        relative = f"{median / baseline['stats']['median']:.2f}" if baseline else ""
        name = each["name"].removeprefix("test_").replace("_", " ")
        lines.append(f"| {name} | {1e3 * median:.2f} ms | {rate(each):.2f} {each['extra_info']['unit']} | {relative} |")
    return "\n".join(lines)


def main(path: str) -> None:
    report = json.loads(Path(path).read_text())
    cpu = report["machine_info"]["cpu"]
    print(
        f"{cpu.get('brand_raw', 'unknown processor')}, {cpu.get('count')} cores, Python {report['machine_info']['python_version']}"
    )
    measured = [each for each in report["benchmarks"] if "work" in each["extra_info"]]
    for group, benchmarks in groupby(sorted(measured, key=lambda each: each["group"]), lambda each: each["group"]):
        print(f"\n### {group}\n\n{table(list(benchmarks))}")


if __name__ == "__main__":
    main(sys.argv[1])

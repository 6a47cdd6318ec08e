"""Every example in a docstring of the package runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("formats", "workloads", "rtl", "sim", "experiments")


def modules_with_examples() -> list[str]:
    """Names of the modules that hold an example."""
    files = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py") if ">>> " in file.read_text("utf-8"))
    return [".".join(["anda_codesign", *file.relative_to(ROOT).with_suffix("").parts]) for file in files]


def test_examples() -> None:
    names = modules_with_examples()
    assert "anda_codesign.formats.weights.bit_packing" in names
    results = {name: doctest.testmod(importlib.import_module(name.removesuffix(".__init__"))) for name in names}
    assert [name for name, result in results.items() if result.failed] == []
    assert sum(result.attempted for result in results.values()) >= 50

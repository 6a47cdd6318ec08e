"""Behaviour hangs on no name: no code of the simulator or the experiments compares something with the name of a format or an element.

Names stand in the formats' own classes, in data (YAML), as defaults of options, and where a page or a plot chooses what it shows.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from anda_codesign.formats.activations.registry import activation_formats
from anda_codesign.sim import architecture_names

ROOT = Path(__file__).parents[1]
NAMES = {*activation_formats(), *architecture_names()}
ALLOWED = {
    ("experiments/formats/format_comparison.py", "anda"): "the colour of a line in a plot",
    ("experiments/report/machine.py", "anda"): "the report's own machine, which its other rows are compared with",
    ("sim/config/processing_element.py", "fp16"): "weight_operand: a type of operand, not a format of activations",
    ("sim/analytical/attention.py", "fp16"): "weight_operand",
    ("sim/cost/energy.py", "fp16"): "vector_unit: the arithmetic of the vector unit",
    ("sim/models/whole_model.py", "fp-int"): "the kind of a result's row",
}
"""Comparisons that remain, and why."""
SCRIPTS = ("experiments/reproduce", "experiments/study")
"""Published figures: they name the machines that a paper compares."""


def compared(tree: ast.AST) -> Iterator[str]:
    """Texts with which something is compared: ``==``, ``!=``, ``in``, and ``startswith``."""
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            parts = list(node.args)
        for part in parts:
            for inner in ast.walk(part) if isinstance(part, ast.Tuple | ast.Set | ast.List | ast.Constant) else ():
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value


def test_no_code_compares_with_the_name_of_a_format_or_an_element() -> None:
    found = {
        (str(path.relative_to(ROOT)), text)
        for room in ("sim", "experiments")
        for path in (ROOT / room).rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(SCRIPTS)
        for text in compared(ast.parse(path.read_text("utf-8")))
        if text in NAMES
    }
    assert found == set(ALLOWED)

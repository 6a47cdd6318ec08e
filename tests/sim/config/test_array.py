"""Arrays in architecture files: shapes, phases, dataflows, and several arrays."""

from typing import Any

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.documents.schema import check
from anda_codesign.sim import Architecture, Settings, load_architecture, prepare
from anda_codesign.sim.config.array import Array, reshaped
from cases import each
from pydantic import TypeAdapter

READ = TypeAdapter(Array).validate_python


def test_ways_of_writing_a_shape():
    """A text, keys, or one array for each phase, with what holds in both."""
    plain = Array(rows=16, columns=16)
    assert READ("16x16") == plain
    both = READ({"prefill": "16x16", "decode": "1x256", "dataflow": "weight-stationary"})
    assert both == READ(
        {"rows": 16, "columns": 16, "decode": {"rows": 1, "columns": 256}, "dataflow": "weight-stationary"}
    )
    assert both.shape == "16x16/1x256"
    assert [(each.shape, each.dataflow) for each in map(both.in_phase, ("prefill", "decode"))] == [
        ("16x16", "weight-stationary"),
        ("1x256", "weight-stationary"),
    ]
    assert READ({"rows": 2, "columns": 128, "prefill": "16x16", "decode": "1x256"}) == READ("16x16/1x256")
    assert READ("16x16/1x256").in_phase("decode") == READ("1x256")
    assert READ("16x16/1x256").in_phase("prefill") == plain.in_phase("decode") == plain
    assert reshaped({"rows": 4, "columns": 8, "count": 2}, "1x32") == {"rows": 1, "columns": 32, "count": 2}
    assert READ(reshaped(both.model_dump(), "8x32")).decode is None


@each(
    "case",
    [
        ("16", "'16' is no shape; write rows and columns, such as 16x16"),
        ("0x16", "rows: is 0"),
        ("9999x16", "rows: is 9999"),
        ({"rows": 4, "columns": 4, "count": 0}, "count: is 0"),
        ({"rows": 4, "columns": 4, "dataflow": "row-stationary"}, "dataflow: is 'row-stationary'"),
        ({"rows": 4, "columns": 4, "split": "rows"}, "split: is 'rows'"),
        ({"prefill": "4x4"}, "prefill: stands without decode"),
        (None, "None is no array; write a shape"),
        ({"prefill": [4, 4], "decode": "1x16"}, "[4, 4] is no array"),
        ({"prefill": "4x4", "decode": 16}, "16 is no array"),
        ("16x16/1x128", "decode: 1x128 has 128 elements and 16x16 has 256"),
        ({"prefill": "4x4", "decode": {"prefill": "1x16", "decode": "16x1"}}, "decode: has a decode of its own"),
    ],
)
def test_bad_arrays_say_what_to_write(case: tuple[Any, str]):
    given, text = case
    data = load_architecture("fp-fp").model_dump(by_alias=True) | {"array": given}
    data |= {"clock": "285 MHz", "activation_buffer": {"capacity": "1 MiB", "port": "1024 bit"}, "weights": "int4"}
    data["weight_buffer"] = data["activation_buffer"]
    with pytest.raises(InputError) as caught:
        check(Architecture, data, "architecture mine.yaml")
    message = str(caught.value)
    assert message.startswith("architecture mine.yaml: array")
    assert text in message
    assert "\n" not in message


def test_sums_of_an_array_that_holds_an_operand_leave_it():
    machine = load_architecture("anda")
    data = machine.model_dump(by_alias=True, exclude={"partial_sums", "default_precision"})
    data |= {
        "clock": "285 MHz",
        "weights": "int4",
        "array": {"rows": 16, "columns": 16, "dataflow": "weight-stationary"},
    }
    for name, port in (("activation_buffer", 1024), ("weight_buffer", 1024), ("exponent_buffer", 80)):
        data[name] = {"capacity": "1 MiB", "port": f"{port} bit"}
    assert check(Architecture, data, "mine").buffered_sums
    with pytest.raises(InputError, match=r"^mine: partial_sums: the array is weight-stationary and has no place"):
        check(Architecture, data | {"partial_sums": "array"}, "mine")
    with pytest.raises(InputError, match=r"^partial_sums: the array is input-stationary and has no place"):
        prepare("anda", Settings(dataflow="input-stationary", partial_sums="array"))


def test_ports_that_a_shape_needs():
    """The refusal says how wide; elements that hold activations get them row by row, through any port."""
    with pytest.raises(
        InputError, match=r"^activation_buffer.port: one plane of 64 rows is 4096 bit; widen the port to that"
    ):
        prepare("anda", Settings(array="64x4"))
    assert prepare("anda", Settings(array="64x4", dataflow="input-stationary")).machine.array.rows == 64
    with pytest.raises(InputError, match=r"^array: 'wide' is no shape"):
        prepare("anda", Settings(array="wide"))

"""Liberty reader: statements, functions, tables, and errors in damaged files."""

import gzip
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl.synthesis.liberty.cells import CellLibrary
from anda_codesign.rtl.synthesis.liberty.functions import parse_function
from anda_codesign.rtl.synthesis.liberty.reader import Group, read_liberty
from anda_codesign.rtl.synthesis.liberty.tables import LookupTable, read_table

TEXT = """/* a comment with cell (NO) { in it */
library ("tiny_TT") {
  time_unit : "1ns";
  voltage_unit : "1V"
  leakage_power_unit : "1pW";
  capacitive_load_unit (1, pf);
  nom_voltage : 1.5;
  nom_temperature : 25;
  default_operating_conditions : typical;
  lu_table_template (load_first) {
    variable_1 : total_output_net_capacitance;
    variable_2 : input_net_transition;
    index_1 ("1, 2");
    index_2 ("10, 20, 30");
  }
  cell (INV) {
    area : 2.5
    cell_footprint : "inv" ;
    leakage_power () { value : 3 ; when : "A" ; related_pg_pin : VDD ; }
    leakage_power () { value : 5 ; when : "!A" ; related_pg_pin : VDD ; }
    leakage_power () { value : 1 ; related_pg_pin : VSS ; }
    pin (A) { direction : input; capacitance : 0.002; rise_capacitance : 0.003; fall_capacitance : 0.001; }
    pin ("Y") {
      direction : output;
      function : "(A)'";
      timing () {
        related_pin : "A";
        timing_sense : negative_unate;
        cell_rise (load_first) { values ("1, 2, 3", \\
          "4, 5, 6"); }
        cell_fall (scalar) { values ("7"); }
      }
      internal_power () { related_pin : "A"; rise_power (load_first) { values ("1, 1, 1", "1, 1, 1"); } }
    }
  }
  cell(FF){ area:4; ff(IQ,IQN){ clocked_on:"CK"; next_state:"D"; } pin(Q){ direction:output; function:"IQ"; } }
}
"""


def write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "tiny.lib"
    path.write_text(text)
    return path


def test_statements_with_and_without_semicolons_and_quotes(tmp_path: Path) -> None:
    file = read_liberty(write(tmp_path))
    assert file.header.name == "tiny_TT"
    assert file.header.attributes["voltage_unit"] == "1V"
    assert file.header.attributes["capacitive_load_unit"] == "1, pf"
    assert file.cell_names == ["INV", "FF"]
    cell = file.cell("INV")
    assert cell.attributes == {"area": "2.5", "cell_footprint": "inv"}
    assert [pin.name for pin in cell.of_kind("pin")] == ["A", "Y"]
    assert [group.attributes["when"] for group in cell.of_kind("leakage_power") if "when" in group.attributes] == [
        "A",
        "!A",
    ]


def test_cells_are_in_ps_ff_fj_and_nw(tmp_path: Path) -> None:
    library = CellLibrary([write(tmp_path)])
    inverter, flip_flop = library.cell("INV"), library.cell("FF")
    assert (library.name, library.corner, library.voltage) == ("tiny_TT", "typical", 1.5)
    assert inverter.leakage_nw == pytest.approx((3 + 5) / 2 * 1e-3 + 1e-3)
    assert inverter.pins["A"].capacitance == {"rise": 3.0, "fall": 1.0}
    arc = inverter.pins["Y"].arcs[0]
    assert arc.delay["rise"](20_000, 2_000) == 5_000
    assert arc.delay["fall"](1, 1) == 7_000
    assert (arc.causes("rise"), arc.causes("fall")) == (("fall",), ("rise",))
    assert inverter.pins["Y"].energies[0].per_toggle(0, 0) == 1_000
    assert (inverter.kind, flip_flop.kind) == ("inverter or buffer", "flip-flop")


def test_gzip_is_read_as_plain(tmp_path: Path) -> None:
    packed = tmp_path / "tiny.lib.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert read_liberty(packed).cell("INV") == read_liberty(write(tmp_path)).cell("INV")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module x; endmodule", "liberty: {} does not begin with a library group; give a Liberty file"),
        (TEXT[:900], "liberty: {} is damaged (+4 open braces at its end); give the whole file"),
        (TEXT.replace('"1, 2, 3"', '"1, 2, 3'), "liberty: {} is damaged in cell INV near line 29; give the whole file"),
    ],
)
def test_damaged_text(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        for name in (file := read_liberty(path)).cell_names:
            file.cell(name)
    assert str(caught.value) == message.format(path)


def test_truncated_gzip(tmp_path: Path) -> None:
    path = tmp_path / "cut.lib.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:200])
    with pytest.raises(InputError, match=r"is damaged \(Compressed file ended"):
        read_liberty(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_liberty(tmp_path / "no.lib")
    expected = (
        f"liberty: {tmp_path / 'no.lib'} cannot be read (No such file or directory); give a readable Liberty file"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("(A * !B) + (!A * B)", "a != b"),
        ("!(A&B)|C", "(not (a and b)) or c"),
        ("A B + C", "(a and b) or c"),
        ("(A+B)' C", "(not (a or b)) and c"),
        ("A^B^C", "a != (b != c)"),
        ("((A'))", "not a"),
        ("1", "True"),
        ("(A * 0) + B", "b"),
    ],
)
def test_functions_mean_what_liberty_says(text: str, plain: str) -> None:
    function = parse_function(text)
    rows = product((False, True), repeat=len(function.inputs))
    expected = [bool(eval(plain, {}, dict(zip(map(str.lower, function.inputs), row, strict=True)))) for row in rows]
    assert list(function.table) == expected


@pytest.mark.parametrize("text", ["(A", "A + ", "A % B", ")", "A B)"])
def test_what_is_no_function(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_function(text)
    assert str(caught.value).startswith(f"liberty: {text!r} ")


def test_kinds_by_function() -> None:
    assert parse_function("A^B").is_parity and parse_function("!(A^B^C)").is_parity
    assert not parse_function("A*B").is_parity
    for text in ("(S*B) + (A*!S)", "!((S*B) + (A*!S))"):
        assert parse_function(text).is_multiplexer
    assert not parse_function("(A*B) + C").is_multiplexer


def test_a_function_in_verilog() -> None:
    assert parse_function("!(A*B)").verilog({"A": "x", "B": "1'b0"}) == "(~(x & 1'b0))"


def test_bilinear_interpolation_and_extrapolation() -> None:
    rng = np.random.default_rng(0)
    plane = LookupTable((0.0, 1.0, 4.0), (0.0, 2.0), ((1.0, 5.0), (3.0, 7.0), (9.0, 13.0)))
    for x, y in rng.uniform(-3, 8, (50, 2)):
        assert plane(x, y) == pytest.approx(1 + 2 * x + 2 * y)
    bent = LookupTable((0.0, 1.0), (0.0, 1.0), ((0.0, 0.0), (0.0, 1.0)))
    assert bent(0.5, 0.5) == 0.25


def test_tables_are_turned_to_slew_and_load() -> None:
    template = Group("lu_table_template", "t", {"variable_1": "total_output_net_capacitance", "variable_2": "x"})
    axes = {"index_1": "1, 2", "index_2": "10, 20, 30"}
    table = read_table(Group("cell_rise", "t", {**axes, "values": "1, 2, 3, 4, 5, 6"}), {"t": template})
    assert (table.rows, table.columns) == ((10.0, 20.0, 30.0), (1.0, 2.0))
    assert table(30, 1) == 3 and table(10, 2) == 4
    load = read_table(Group("p", "t", {"index_1": "1, 2", "values": "1, 3"}), {"t": template})
    assert load(99, 1.5) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"1ns"', '"1 hour"', "liberty: {}: time_unit is '1 hour'; give one of s, ms, us, ns, ps, fs"),
        ("nom_voltage : 1.5;", "", "liberty: {} has no nom_voltage; give the files of one corner"),
    ],
)
def test_libraries_without_units(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, TEXT.replace(old, new))
    with pytest.raises(InputError) as caught:
        CellLibrary([path]).cell("INV")
    assert str(caught.value) == message.format(path)

"""Liberty reader: statements, functions, tables, and errors in damaged files."""

import gzip
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl.synthesis.liberty import reader
from anda_codesign.rtl.synthesis.liberty.cell import Cell
from anda_codesign.rtl.synthesis.liberty.cells import CellLibrary
from anda_codesign.rtl.synthesis.liberty.functions import parse_function
from anda_codesign.rtl.synthesis.liberty.reader import Group, read_liberty
from anda_codesign.rtl.synthesis.liberty.tables import LookupTable, read_table
from hypothesis import given
from hypothesis import strategies as st

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
        ("A*B^C", "a and (b != c)"),
        ("A^B*C", "(a != b) and c"),
        ("A B^C + D", "(a and (b != c)) or d"),
        ("!A^B'", "(not a) != (not b)"),
        ("A''' + 0", "not a"),
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


def test_groups_that_are_not_read_are_listed(tmp_path: Path):
    assert CellLibrary([write(tmp_path)]).cell("INV").not_read == []
    currents = "output_current_rise () { vector (x) { reference_time : 0.1; } }"
    text = TEXT.replace("cell_fall (scalar)", f"{currents} receiver_capacitance1_rise (x) {{ }} cell_fall (scalar)")
    text = text.replace('cell_footprint : "inv" ;', "dynamic_current () { } pg_pin (VDD) { }")
    assert CellLibrary([write(tmp_path, text)]).cell("INV").not_read == [
        "cell.dynamic_current",
        "timing.output_current_rise",
        "timing.receiver_capacitance1_rise",
    ]


@pytest.mark.parametrize("text", ["(A", "A + ", "A % B", ")", "A B)"])
def test_what_is_no_function(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_function(text)
    assert str(caught.value).startswith(f"liberty: {text!r} ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" + ".join(f"A{n}" for n in range(30)), "has 30 inputs; give a function of at most 16"),
        ("A" + " + A" * 1000, "has 2001 signs; give a function of at most 1000"),
        ("(" * 60 + "A" + ")" * 60, "is nested deeper than 30 levels; simplify it"),
        ("!" * 60 + "A", "is nested deeper than 30 levels; simplify it"),
    ],
)
def test_functions_have_a_size(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^liberty: .*{message}$"):
        parse_function(text)


@given(st.integers(1, 16).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 2**n - 1))))
def test_the_table_of_a_product_has_one_row(case: tuple[int, int]) -> None:
    """The row where each input has its value: the last input changes fastest."""
    count, row = case
    literals = [f"A{n}" if row >> (count - 1 - n) & 1 else f"!A{n}" for n in range(count)]
    table = parse_function(" ".join(literals)).table
    assert (len(table), [index for index, value in enumerate(table) if value]) == (2**count, [row])


def test_unateness() -> None:
    function = parse_function("!A * B + C ^ D")
    assert [function.sense(name) for name in "ABCD"] == ["negative_unate", "positive_unate", "non_unate", "non_unate"]


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


def cell_of(folder: Path, body: str, header: str = "") -> Cell:
    """The cell X of a library with these statements."""
    voltage = "" if "nom_voltage" in header else "nom_voltage : 1;"
    text = f"library (x) {{ capacitive_load_unit (1, pf); {voltage} {header}\ncell (X) {{ {body} }} }}"
    return CellLibrary([write(folder, text)]).cell("X")


def test_voltages_are_in_the_unit_of_the_library(tmp_path: Path) -> None:
    text = TEXT.replace('"1V"', '"1mV"').replace("nom_voltage : 1.5;", "nom_voltage : 1500;")
    library = CellLibrary([write(tmp_path, text)])
    assert library.voltage == 1.5
    assert library.cell("INV").pins["Y"].energies[0].per_toggle(0, 0) == pytest.approx(1e-3)  # 1 pF (1 mV)^2 in fJ


def test_defaults_of_the_library(tmp_path: Path) -> None:
    header = "default_cell_leakage_power : 3; default_leakage_power_density : 2; default_input_pin_cap : 0.5;"
    pin = "pin (A) { direction : input; } pin (B) { direction : input; capacitance : 0.25; }"
    cell = cell_of(tmp_path, f"area : 5; {pin}", header)
    assert cell.leakage_nw == 3
    assert [cell.pins[name].mean_capacitance for name in "AB"] == [500, 250]
    assert cell_of(tmp_path, "area : 5; cell_leakage_power : 1;", header).leakage_nw == 1
    assert cell_of(tmp_path, "area : 5; leakage_power () { value : 4; }", header).leakage_nw == 4
    assert cell_of(tmp_path, "area : 5;", "default_leakage_power_density : 2;").leakage_nw == 10


def test_the_sense_of_an_arc_follows_from_the_function(tmp_path: Path) -> None:
    inputs = "pin (A, B) { direction : input; }"
    timing = 'timing () { related_pin : "A B"; cell_rise (scalar) { values ("1"); } }'
    cell = cell_of(tmp_path, f'area : 1; {inputs} pin (Y) {{ direction : output; function : "!A B"; {timing} }}')
    assert [arc.sense for arc in cell.pins["Y"].arcs] == ["negative_unate", "positive_unate"]


def test_grouped_pins_buses_and_bundles(tmp_path: Path) -> None:
    timing = 'timing () { related_bus_pins : "A"; cell_rise (scalar) { values ("1"); } }'
    cell = cell_of(
        tmp_path,
        f"""area : 1; pin (S, T) {{ direction : input; capacitance : 3; }}
        bus (A) {{ bus_type : pair; direction : input; capacitance : 1; pin (A[0]) {{ capacitance : 2; }} }}
        bundle (Q) {{ members (Q0, Q1); direction : output; function : "A[0] A[1]"; {timing} }}""",
        "type (pair) { bit_from : 1; bit_to : 0; }",
    )
    assert list(cell.pins) == ["S", "T", "A[1]", "A[0]", "Q0", "Q1"]
    assert [cell.pins[name].mean_capacitance for name in ("S", "T", "A[1]", "A[0]")] == [3000, 3000, 1000, 2000]
    assert [arc.related for arc in cell.pins["Q1"].arcs] == ["A[1]", "A[0]"]
    function = cell.pins["Q0"].function
    assert function is not None and function.verilog({"A[0]": "x", "A[1]": "y"}) == "(x & y)"


ONE_LINE = TEXT.replace('"1V"\n', '"1V";').replace("2.5\n", "2.5;").replace("\\\n", "").replace("\n", " ")


@pytest.mark.parametrize("text", [TEXT.replace("\n", "\r\n"), ONE_LINE])
def test_line_ends_and_lines_do_not_matter(tmp_path: Path, text: str) -> None:
    cells = CellLibrary([write(tmp_path)])
    path = tmp_path / "other.lib"
    path.write_bytes(text.encode())
    other = CellLibrary([path])
    assert other.cell_names == cells.cell_names
    assert repr(other.cell("INV")) == repr(cells.cell("INV"))


def test_statements_after_the_cells(tmp_path: Path) -> None:
    library = CellLibrary([write(tmp_path, TEXT[: TEXT.rindex("}")] + "  default_cell_leakage_power : 7;\n}\n")])
    assert library.cell("FF").leakage_nw == pytest.approx(7e-3)


def test_cells_with_behaviour_that_is_not_read(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, 'area : 1; statetable ("A", "B") { table : "x"; } pin (A) { direction : input; }')
    assert cell.unread == ["statetable"]


def timing(statements: str) -> str:
    return f"area : 1; pin (Y) {{ direction : output; timing () {{ {statements} }} }}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("area : nan;", "area of cell X is 'nan'; give a finite number of at least 0"),
        ("area : \uff12;", "area of cell X is '\uff12'; give a finite number of at least 0"),
        ("area : -1;", "area of cell X is '-1'; give a finite number of at least 0"),
        ("area : 1e999;", "area of cell X is '1e999'; give a finite number of at least 0"),
        ("area : ;", "area of cell X is ''; give a finite number of at least 0"),
        ("", "has no area; add it"),
        ("area : 1; cell_leakage_power : inf;", "cell_leakage_power of cell X is 'inf'; give"),
        ("area : 1; pin (A) { direction : input; capacitance : -0.1; }", "capacitance of pin A is '-0.1'; give"),
        ("area : 1; pin (A) { capacitance : 1; }", "direction of pin A is ''; give one of input, output, inout"),
        ("area : 1; pin (A\n B) { capacitance : 1; }", "direction of pin A B is ''; give one of input, output, inout"),
        ("area : 1; pin (A, A) { direction : input; }", "has two pins A; remove one"),
        ("area : 1; bus (A) { bus_type : t; direction : input; }", "bus A has the type 't', which the library lacks"),
        (timing(""), "timing of pin Y has no related_pin; add it"),
        (timing("related_pin : Z;"), "timing is related to 'Z', which is no pin; fix"),
        (timing("related_pin : Y; timing_type : late;"), "timing_type of pin Y is 'late'; give"),
        (timing("related_pin : Y; timing_sense : up;"), "timing_sense of pin Y is 'up'; give"),
        ("area : 1; ff (IQ, IQN) { clocked_on : C; next_state : D; } ff (A, B) { }", "has 2 ff groups; give one"),
        ("area : 1; pin (A) { direction : input; internal_power () { } }", "internal_power has no table; add it"),
    ],
)
def test_cells_with_faults(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        cell_of(tmp_path, body)
    assert str(caught.value).startswith(f"liberty: {tmp_path / 'tiny.lib'}: cell X: {message}")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('(none) { values ("1, 2"); }', "the template 'none' of cell_rise is missing"),
        ('(t) { values ("1, 2, 3"); }', "cell_rise has 3 values for [2] indices"),
        ('(t) { index_1 ("2, 1"); values ("1, 2"); }', "the indices of cell_rise do not rise"),
        ('(t) { index_2 ("1"); index_3 ("1"); values ("1, 2"); }', "cell_rise has three variables"),
        ('(t) { values ("1, nan"); }', "nan is no finite number"),
        ('(t) { values ("1, x"); }', "could not convert string to float: 'x'"),
        ("(t) { }", "it lacks the entry 'values'"),
    ],
)
def test_tables_with_faults(tmp_path: Path, table: str, message: str) -> None:
    header = 'lu_table_template (t) { variable_1 : input_net_transition; index_1 ("1, 2"); }'
    with pytest.raises(InputError) as caught:
        cell_of(tmp_path, timing(f"related_pin : Y; cell_rise {table}"), header)
    expected = f"liberty: {tmp_path / 'tiny.lib'}: cell X is damaged ({message}); fix it, or leave the cell out"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("delay_model : cmos2;", "delay_model is 'cmos2'; give table_lookup"),
        ('voltage_unit : "0V";', "voltage_unit is '0V'; give one of v, mv"),
        ("default_cell_leakage_power : -1;", "default_cell_leakage_power is '-1'; give a number of at least 0"),
        ("nom_temperature : hot;", "nom_temperature is 'hot'; give a finite number"),
        ("nom_voltage : nan;", "nom_voltage is 'nan'; give a finite number"),
        ("nom_voltage : 0;", "nom_voltage is '0'; give a voltage above 0"),
    ],
)
def test_headers_with_faults(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        cell_of(tmp_path, "area : 1;", header)
    assert str(caught.value) == f"liberty: {tmp_path / 'tiny.lib'}: {message}"


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    first = write(tmp_path)
    other = tmp_path / "other.lib"
    for text, message in (
        (TEXT, "has the cell FF of an earlier file; leave one out"),
        (TEXT.replace("INV", "I").replace("(FF)", "(F)").replace(": 1.5", ": 1.2"), "give the files of one corner"),
        (TEXT.replace("(FF)", "(INV)"), "has two cells INV; remove one"),
    ):
        other.write_text(text)
        with pytest.raises(InputError, match=message):
            CellLibrary([first, other])


def test_a_file_that_is_small_only_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_BYTES", 1 << 20)
    path = tmp_path / "bomb.lib.gz"
    path.write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(InputError, match=r"bomb.lib.gz has more than 1 MiB of text; give it in several files$"):
        read_liberty(path)


@pytest.mark.parametrize(
    "body",
    [
        "/*" * 300_000,
        " " * 900_000 + "x",
        "a :" + " " * 900_000 + "x y",
        "a " * 400_000,
        "g (x) {" * 100_000,
        '("' * 300_000,
    ],
)
def test_texts_on_which_careless_patterns_take_for_ever(tmp_path: Path, body: str) -> None:
    with pytest.raises(InputError, match=r"^liberty: "):
        CellLibrary([write(tmp_path, "library (x) {" + body)])

from pathlib import Path

import pytest
import yaml
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.latency.array import WEIGHT_LOAD_CYCLES, array_cycles_per_group
from anda_codesign.formats.latency.elements import FP16_GROUP_CYCLES
from anda_codesign.sim import architecture_names, load_architecture
from anda_codesign.workloads import Precision

FOLDER = Path(__file__).parents[3] / "sim" / "architectures"
NAMES = ["anda", "figna", "figna-m11", "figna-m8", "fp-fp", "fp-int", "ifpu"]


def write(folder: Path, name: str = "anda", **changes: object) -> Path:
    """A copy of a built-in architecture with some keys changed; a key set to ... is left out."""
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) | changes
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if value is not ...}))
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_architecture(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_architectures_of_the_paper_are_built_in():
    assert architecture_names() == NAMES
    assert [load_architecture(name).name for name in NAMES] == NAMES


def test_setting_of_the_paper():
    for machine in map(load_architecture, NAMES):
        exponents = machine.exponent_buffer.capacity_bytes if machine.exponent_buffer else 0
        assert machine.clock_hz == 285_000_000
        assert machine.array.rows * machine.array.columns == 256
        assert machine.activation_buffer.capacity_bytes + exponents == (1024 + 128) * 1024
        assert machine.weight_buffer.capacity_bytes == 1 << 20
        assert machine.activation_buffer.port_bits == machine.weight_buffer.port_bits == 1024
        assert machine.weight_load_cycles == WEIGHT_LOAD_CYCLES


def test_array_cycles():
    asked = range(1, 17)
    anda = load_architecture("anda")
    assert [anda.array_cycles_per_group(m) for m in asked] == [array_cycles_per_group(m) for m in asked]
    fixed = {name: load_architecture(name).array_cycles_per_group(16) for name in ("fp-fp", "fp-int", "ifpu", "figna")}
    assert set(fixed.values()) == {FP16_GROUP_CYCLES}
    for name, bits in (("figna-m11", 11), ("figna-m8", 8)):
        assert load_architecture(name).array_cycles_per_group(bits) == bits


def test_stored_bits_are_those_of_the_format():
    anda, figna = load_architecture("anda"), load_architecture("figna")
    for bits in range(1, 17):
        expected = AndaFormat(mantissa_bits=bits).bits_per_value * 192
        assert anda.token_bits(129, bits) == expected
        assert sum(anda.token_footprint(129, bits)) == expected
        assert figna.token_bits(129, bits) == anda.token_bits(129, None) == 129 * 16


def test_weight_bits_count_a_scale_for_a_short_last_group():
    weights = load_architecture("anda").weights
    assert weights.channel_bits(128) == 128 * 4 + 16
    assert weights.channel_bits(576) == 576 * 4 + 5 * 16


def test_exponent_memory_can_be_what_limits_the_tokens(tmp_path: Path):
    path = write(tmp_path, exponent_buffer={"capacity": "1 KiB", "port": "80 bit"})
    assert load_architecture(path).resident_tokens(64, 7) == 1024 * 8 // 5
    assert load_architecture("anda").resident_tokens(64, 7) == (1 << 20) // 64


def test_precision_is_asked_for_or_fixed():
    asked = Precision(7, 5, 6, 6)
    used = {name: load_architecture(name).precision(asked) for name in NAMES}
    assert used["anda"] == asked
    assert used["fp-fp"] == used["fp-int"] == used["ifpu"] == Precision.uniform(16)
    assert [used[name].d for name in ("figna", "figna-m11", "figna-m8")] == [13, 11, 8]


def test_a_path_loads_like_a_name(tmp_path: Path):
    assert load_architecture(write(tmp_path)) == load_architecture("anda")


def test_names_and_paths_that_do_not_exist():
    with pytest.raises(InputError, match=r"^architecture: 'aaa.* is no file \(File name too long\); give"):
        load_architecture("a" * 400 + ".yaml")
    for name in ("tpu", "none.yaml"):
        with pytest.raises(InputError, match=f"^architecture: .*'{name}'.* {', '.join(NAMES)}"):
            load_architecture(name)


FIXED_BITS = {"kind": "anda", "lanes": 64, "timing": "bit-serial", "weight_operand": "int", "mantissa_bits": 8}


def test_bad_values_name_file_field_and_fix(tmp_path: Path):
    """Each message begins with the field and contains the values that matter."""
    cases: tuple[tuple[dict[str, object], str, list[str]], ...] = (
        ({"clok": "285 MHz"}, "clok", ["activation_buffer, activations, array, clock"]),
        ({"array": {"rows": 16}}, "array.columns", ["is missing"]),
        ({"array": {"rows": 16, "cols": 16}}, "array.cols", ["columns, count, dataflow, decode, rows, split"]),
        ({"array": {"rows": 16, "columns": 16, "depth": 2}}, "array.depth", ["columns, count, dataflow"]),
        ({"compressor": {"lanes": 16, "rounding": "up"}}, "compressor.rounding", ["lanes"]),
        ({"clock": ...}, "clock", ["is missing"]),
        ({"clock": 285}, "clock", ["285 ", "'285 MHz'"]),
        ({"clock": "285 mhz"}, "clock", ["'mhz'", "Hz, kHz, MHz, GHz"]),
        ({"clock": "0 MHz"}, "clock", ["'0 MHz'", "positive"]),
        ({"clock": "-1 MHz"}, "clock", ["'-1 MHz'", "positive"]),
        ({"clock": f"{'9' * 5000} MHz"}, "clock", ["positive whole number of Hz up to 2^63"]),
        ({"weight_buffer": {"capacity": "1024 KB", "port": "8 bit"}}, "weight_buffer.capacity", ["'KB'", "write KiB"]),
        ({"vector_lanes": True}, "vector_lanes", ["is True", "integer"]),
        ({"vector_lanes": 64.0}, "vector_lanes", ["is 64.0", "integer"]),
        ({"array": {"rows": "16", "columns": 16}}, "array.rows", ["is '16'", "integer"]),
        ({"clock": "1.2.3 MHz"}, "clock", ["'1.2.3 MHz'", "'285 MHz'"]),
        (
            {"weight_buffer": {"capacity": 1 << 20, "port": "1024 bit"}},
            "weight_buffer.capacity",
            ["1048576", "'1 MiB'"],
        ),
        ({"weights": "int5"}, "weights", ["'int5'", "int3, int4, int8, spqr-3, squeezellm-3, squeezellm-4"]),
        ({"vector_lanes": 0}, "vector_lanes", ["is 0", "1"]),
        ({"exponent_buffer": None}, "exponent_buffer", ["activations anda"]),
        ({"compressor": None}, "compressor", ["activations anda"]),
        ({"array": {"rows": 32, "columns": 16}}, "activation_buffer.port", ["32 rows", "2048 bit"]),
        ({"processing_element": FIXED_BITS}, "processing_element: mantissa_bits", ["'variable'", "bit-serial"]),
    )
    for changes, field, values in cases:
        text = message(write(tmp_path, **changes))
        assert text.startswith(f"architecture mine.yaml: {field}: "), text
        assert all(value in text for value in values), text


def test_baseline_refuses_parts_of_anda(tmp_path: Path):
    path = write(tmp_path, "fp-fp", compressor={"lanes": 16})
    assert message(path).startswith("architecture mine.yaml: compressor: activations fp16 has none")


def test_the_memory_and_the_elements_have_formats_of_their_own(tmp_path: Path):
    """The former name of the field means the same; a fixed datapath may store Anda, whose width a run then asks for."""
    parts = {"compressor": {"lanes": 16}, "exponent_buffer": {"capacity": "1 KiB", "port": "80 bit"}}
    new = load_architecture(write(tmp_path, "fp-fp", activations="anda", **parts))
    former = load_architecture(write(tmp_path, "fp-fp", activations=..., activation_memory="anda", **parts))
    assert former == new
    assert new.precision(Precision(7, 5, 6, 6)) == Precision(7, 5, 6, 6)
    assert new.token_bits(64, 7) == 64 * 8 + 5
    assert new.array_cycles_per_group(7) == FP16_GROUP_CYCLES
    text = message(write(tmp_path, "fp-fp", activation_memory="fp16"))
    assert text.startswith("architecture mine.yaml: activation_memory: is the former name of activations")


def test_mantissa_bits_of_a_fixed_datapath_have_a_range(tmp_path: Path):
    element = {"kind": "figna", "lanes": 64, "timing": "fp16-rate", "weight_operand": "int", "mantissa_bits": 17}
    text = message(write(tmp_path, "figna", processing_element=element))
    assert text.startswith("architecture mine.yaml: processing_element: mantissa_bits: 17 ")


def test_files_that_are_not_configurations(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: [")
    assert message(path).startswith("architecture mine.yaml: is not YAML (")
    path.write_text("- a\n")
    assert message(path).startswith("architecture mine.yaml: holds no keys")
    path.write_bytes(b"\xff\xfe\x00")
    assert message(path).startswith("architecture mine.yaml: cannot be read (")


def test_a_key_that_stands_twice(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("array: {rows: 16, columns: 16, rows: 8}\n")
    assert message(path).startswith("architecture mine.yaml: is not YAML (the key 'rows' is given twice) in line 1")


@pytest.mark.parametrize(("name", "reason"), [("", "at least 1 character"), ("a\nb", "should match pattern")])
def test_names_stand_in_one_line(name: str, reason: str, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": "anda", "name": name}))
    assert message(path).startswith(f"architecture mine.yaml: name: is {name!r}; string ")
    assert reason in message(path)

"""The registry of activation formats, and what every registered format owes to the protocol."""

import dataclasses
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.activations.fp import Fp16Format
from anda_codesign.formats.activations.registry import (
    activation_format,
    activation_format_modes,
    activation_formats,
    registry,
)
from cases import each

NAMES = activation_formats()
MODES = [fmt for name in NAMES for fmt in activation_format_modes(name)]

# name, the parameters that tell modes apart, bits per value, cycles for 64 values
PUBLISHED = [
    ("fp16", {}, 16, 16),
    ("bf16", {}, 16, 16),
    *(("anda", {"mantissa_bits": m}, m + 1 + 5 / 64, m + 1) for m in range(1, 17)),
    ("figna", {"mantissa_bits": 13}, 16, 16),
    ("figna", {"mantissa_bits": 11}, 16, 11),
    ("figna", {"mantissa_bits": 8}, 16, 8),
    ("ifpu", {}, 16, 16),
    ("vs-quant", {}, 4.375, 4),
    ("boost", {}, 8.125, 8),
    ("lian", {}, 8 + 5 / 64, 8),
    ("fan", {}, 15 + 5 / 64, 15),
    ("flexpoint", {}, 16, 16),
    ("fast", {"mantissa_bits": 2}, 3.3125, 2),
    ("fast", {"mantissa_bits": 4}, 6.3125, 4),
    ("dacapo", {"mantissa_bits": 2}, 4, 2),
    ("dacapo", {"mantissa_bits": 4}, 6, 4),
    ("dacapo", {"mantissa_bits": 8}, 9, 8),
    ("flexblock", {"mantissa_bits": 4}, 4.125, 4),
    ("flexblock", {"mantissa_bits": 8}, 8.125, 8),
    ("flexblock", {"mantissa_bits": 16}, 16.125, 16),
    ("mxfp8-e4m3", {}, 8.25, 8),
    ("mxfp8-e5m2", {}, 8.25, 8),
    ("mxfp6-e2m3", {}, 6.25, 6),
    ("mxfp6-e3m2", {}, 6.25, 6),
    ("mxfp4", {}, 4.25, 4),
    ("mxint8", {}, 8.25, 8),
    ("nvfp4", {}, 4.5, 4),
]

# Anda (arXiv 2411.15982), Table I: name here, printed mantissa lengths
TABLE_1 = {
    "vs-quant": [4],
    "lian": [8],
    "fan": [15],
    "flexpoint": [16],
    "fast": [2, 4],
    "dacapo": [2, 4, 8],
    "flexblock": [4, 8, 16],
    "anda": list(range(1, 17)),
}


def test_every_published_setting_is_registered_with_its_bits_and_cycles():
    assert [fmt.name for fmt in MODES] == [name for name, *_ in PUBLISHED]
    for fmt, (_, parameters, bits, cycles) in zip(MODES, PUBLISHED, strict=True):
        assert parameters.items() <= fmt.parameters.items()
        assert (fmt.bits_per_value, fmt.cycles_per_group) == (bits, cycles)


@pytest.mark.parametrize("name", TABLE_1)
def test_mantissa_lengths_are_those_of_the_papers_table(name):
    assert [fmt.parameters["mantissa_bits"] for fmt in activation_format_modes(name)] == TABLE_1[name]


@each("fmt", MODES)
def test_a_format_is_a_frozen_value_that_its_name_and_parameters_give_again(fmt):
    assert activation_format(fmt.name, **fmt.parameters) == fmt
    assert hash(activation_format(fmt.name, **fmt.parameters)) == hash(fmt)
    assert fmt.source
    for field in dataclasses.fields(fmt):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(fmt, field.name, 1)


@each("fmt", MODES)
@pytest.mark.parametrize("shape", [(1,), (64,), (3, 576), (2, 3, 70), (0, 64), (1, 129)])
def test_shapes_are_kept(fmt, shape):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float16)
    tensor = fmt.encode(x)
    decoded = tensor.decode()
    assert tensor.shape == decoded.shape == shape
    assert decoded.dtype in (np.float16, np.float32)


@each("fmt", MODES)
def test_the_input_stays_as_it_is(fmt):
    x = np.linspace(-3, 3, 80, dtype=np.float16).reshape(2, 40)
    kept = x.copy()
    fmt.encode(x).decode()[:] = 0
    np.testing.assert_array_equal(x, kept)


@each("fmt", MODES)
def test_the_layout_in_memory_does_not_matter(fmt):
    x = np.random.default_rng(2).normal(size=(70, 5)).astype(np.float16)
    np.testing.assert_array_equal(fmt.encode(x.T).decode(), fmt.encode(np.ascontiguousarray(x.T)).decode())


@each("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_values_are_refused_by_their_index(name, value):
    x = np.zeros((2, 3, 32), np.float16)
    x[1, 2, 5] = value
    with pytest.raises(InputError, match=rf"^x: element \(1, 2, 5\) is {value}; "):
        activation_format_modes(name)[0].encode(x)


@each("name", NAMES)
def test_other_dtypes_and_missing_channels_are_refused(name):
    fmt = activation_format_modes(name)[0]
    for wrong, found in [(np.zeros(4, np.float32), "float32"), (np.zeros(4, np.int8), "int8"), ([1.0], "list")]:
        with pytest.raises(InputError) as error:
            fmt.encode(wrong)
        advice = "not a float16 array; convert it with numpy.asarray(x, numpy.float16)"
        assert str(error.value).startswith(f"x: is {found}, {advice}")
    for shape in [(), (3, 0)]:
        with pytest.raises(InputError) as error:
            fmt.encode(np.zeros(shape, np.float16))
        assert str(error.value).startswith(f"x: shape {shape} has no channels")


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(InputError) as error:
        activation_format("posit")
    assert str(error.value).startswith("format: 'posit'") and all(name in str(error.value) for name in NAMES)
    with pytest.raises(InputError, match=r"^format: 'posit' .* fp16, "):
        activation_format_modes("posit")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("fast", {"bits": 2}, "bits: is not a parameter of fast"),
        ("fp16", {"bits": 2}, "bits: is not a parameter of fp16"),
        ("anda", {}, "mantissa_bits: is missing"),
        ("fast", {"mantissa_bits": 3}, "mantissa_bits: 3"),
        ("flexblock", {"mantissa_bits": 5}, "mantissa_bits: 5"),
        ("dacapo", {"mantissa_bits": True}, "mantissa_bits: True"),
        ("dacapo", {"group_size": 3}, "group_size: 3 is odd"),
        ("lian", {"mantissa_bits": 1}, "mantissa_bits: 1"),
        ("lian", {"mantissa_bits": 8.0}, "mantissa_bits: 8.0"),
        ("lian", {"group_size": 0}, "group_size: 0"),
        ("lian", {"rounding": "up"}, "rounding: 'up'"),
        ("flexpoint", {"group_size": 64}, "group_size: 64"),
        ("figna", {"mantissa_bits": 0}, "mantissa_bits: 0"),
        ("ifpu", {"mantissa_bits": 41}, "mantissa_bits: 41"),
        ("vs-quant", {"mantissa_bits": 9}, "mantissa_bits: 9"),
        ("vs-quant", {"scale_bits": 0}, "scale_bits: 0"),
        ("boost", {"group_size": True}, "group_size: True"),
        ("mxfp4", {"group_size": "32"}, "group_size: '32'"),
        ("nvfp4", {"group_size": -16}, "group_size: -16"),
    ],
)
def test_bad_parameters(name, parameters, message):
    with pytest.raises(InputError) as error:
        activation_format(name, **parameters)
    assert str(error.value).startswith(message)


def test_a_format_of_ones_own_needs_one_registration(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    @dataclasses.dataclass(frozen=True)
    class Mine(Fp16Format):
        name: ClassVar[str] = "mine"

    before = activation_formats()
    registry.register(Mine)
    assert activation_formats() == [*before, "mine"]
    assert activation_format("mine") == Mine()
    with pytest.raises(InputError) as error:
        registry.register(Mine)
    assert str(error.value).startswith("name: 'mine'")


def test_the_registry_does_not_bring_numba():
    code = "import sys, anda_codesign.formats.activations.registry; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

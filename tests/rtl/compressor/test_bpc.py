# amaranth: UnusedElaboratable=no
"""The compressor lane against `AndaFormat.encode`."""

from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, InputError
from anda_codesign.formats.anda.plane_mask import sent_planes
from anda_codesign.formats.latency.array import BPC_LATENCY_CYCLES, bpc_cycles, bpc_cycles_per_group
from anda_codesign.rtl import BpcLane, run_bpc_lane, run_streams, to_verilog
from anda_codesign.rtl.compressor.bpc import BitPlaneCompressor, BitPlaneCompressorParameters, BpcLaneParameters
from anda_codesign.rtl.simulation.packing import pack, unpack
from anda_codesign.rtl.simulation.testbenches.elements import run_compressor
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray


def circuit_format(mantissa_bits: int, group_size: int) -> AndaFormat:
    return AndaFormat(mantissa_bits, group_size, nonfinite="saturate")


def assert_same(actual: AndaTensor, expected: AndaTensor) -> None:
    np.testing.assert_array_equal(actual.signs, expected.signs)
    np.testing.assert_array_equal(actual.exponents, expected.exponents)
    np.testing.assert_array_equal(actual.planes, expected.planes)
    assert actual.saturated == expected.saturated


def random_halves(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Halves of every bit pattern, infinities and NaN included."""
    return rng.integers(0, 65536, shape).astype(np.uint16).view(np.float16)


def adversarial_groups() -> NDArray[np.float16]:
    """Groups of 8 in which one value, or none, rules the exponent."""
    tiny, least_normal, largest = np.float16(2.0**-24), np.float16(2.0**-14), np.float16(65504)
    outlier = np.full(8, tiny)
    outlier[3] = -largest
    return np.stack(
        [
            np.zeros(8, np.float16),
            np.full(8, -0.0, np.float16),
            np.full(8, tiny),
            np.full(8, -largest),
            outlier,
            np.array([tiny, -tiny, least_normal, 0, -0.0, 1023 * tiny, 1, -1], np.float16),
            np.ldexp(np.float16(1.999), np.arange(-3, 5)).astype(np.float16),
            np.array([1, np.inf, -np.inf, np.nan, 0, tiny, -2, 3], np.float16),
        ]
    )


@each("mantissa_bits", range(1, 17))
def test_every_mantissa_width_in_its_stated_cycles(mantissa_bits: int) -> None:
    format = circuit_format(mantissa_bits, 8)
    x = np.concatenate([adversarial_groups(), random_halves(np.random.default_rng(mantissa_bits), (24, 8))])
    run = run_bpc_lane(x, format)
    assert_same(run.tensor, format.encode(x))
    assert run.cycles == len(x) * bpc_cycles_per_group(mantissa_bits)
    assert run.latency_cycles == BPC_LATENCY_CYCLES


@pytest.mark.parametrize("group_size", [16, 32, 64, 128])
def test_every_group_size(group_size: int) -> None:
    format = circuit_format(9, group_size)
    x = (np.random.default_rng(group_size).standard_normal((2, group_size)) * 100).astype(np.float16)
    run = run_bpc_lane(x, format)
    assert_same(run.tensor, format.encode(x))
    assert not run.tensor.saturated


@each("offset", range(30))
def test_every_exponent_offset_below_the_largest(offset: int) -> None:
    """One element holds the largest exponent; its seven neighbours lie `offset` below, down to the subnormals."""
    rng = np.random.default_rng(offset)
    bits = np.empty((8, 8), np.uint16)
    bits[:, 0] = 30 << 10
    exponent = 30 - offset if offset < 29 else 0
    bits[:, 1:] = exponent << 10 | rng.integers(0, 1024, (8, 7)) | rng.integers(0, 2, (8, 7)) << 15
    x = bits.view(np.float16)
    for mantissa_bits in (1, 11, 16):
        format = circuit_format(mantissa_bits, 8)
        assert_same(run_bpc_lane(x, format).tensor, format.encode(x))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 65535), min_size=24, max_size=24),
    st.integers(1, 16),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_any_halves_under_any_pauses(bits: list[int], mantissa_bits: int, pause_in: int, pause_out: int) -> None:
    x = np.array(bits, np.uint16).view(np.float16).reshape(3, 8)
    format = circuit_format(mantissa_bits, 8)
    run = run_bpc_lane(x, format, pauses={"group": random_pause(pause_in), "planes": random_pause(pause_out)})
    assert_same(run.tensor, format.encode(x))


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


@pytest.mark.parametrize("lanes", [1, 3, 7])
def test_the_mantissa_width_changes_from_group_to_group(lanes: int) -> None:
    """Also at lane counts that are no group size of the format: then padded with zeros for the comparison."""
    rng = np.random.default_rng(lanes)
    widths = [3, 1, 16, 1, 7]
    halves = rng.integers(0, 0x7C00, (len(widths), lanes))
    groups = [word | bits << 16 * lanes for word, bits in zip(pack(halves, 16), widths, strict=True)]
    total = sum(bpc_cycles_per_group(bits) for bits in widths)
    run = run_streams(
        BpcLane(BpcLaneParameters(lanes=lanes)), {"group": groups}, {"planes": total}, flags=["saturated"]
    )
    planes = run.transfers["planes"]
    assert planes.cycles == list(range(BPC_LATENCY_CYCLES, BPC_LATENCY_CYCLES + total))
    assert run.flags == {"saturated": 0}
    start = 0
    for values, bits in zip(halves, widths, strict=True):
        payloads = planes.payloads[start : start + bits + 1]
        padded = np.pad(values, (0, 8 - lanes)).astype(np.uint16).view(np.float16)
        expected = circuit_format(bits, 8).encode(padded)
        assert unpack(payloads, lanes, 1)[:, 0].tolist() == [int(expected.signs[0]), *expected.planes[0].tolist()]
        assert unpack(payloads[:1], 5, 1, start=lanes)[0, 0] == expected.exponents[0]
        assert unpack(payloads, 1, 1, start=lanes + 5)[:, 0].tolist() == [0] * bits + [1]
        start += bits + 1


def test_the_flag_stays_set() -> None:
    x = np.array([[1] * 8, [np.nan] + [1] * 7, [1] * 8, [1] * 8], np.float16)
    assert run_bpc_lane(x, circuit_format(2, 8)).tensor.saturated
    assert not run_bpc_lane(x[2:], circuit_format(2, 8)).tensor.saturated


def test_the_waveform_is_written(tmp_path: Path) -> None:
    run_bpc_lane(np.ones((1, 8), np.float16), circuit_format(2, 8), vcd=tmp_path / "bpc.vcd")
    assert "shared_exponent" in (tmp_path / "bpc.vcd").read_text()


def test_illegal_parameters() -> None:
    with pytest.raises(InputError) as error:
        BpcLane(BpcLaneParameters(lanes=200))
    assert str(error.value).startswith("lanes: 200")
    with pytest.raises(InputError) as error:
        BpcLane(BpcLaneParameters(max_mantissa_bits=0))
    assert str(error.value).startswith("max_mantissa_bits: 0")


def test_tensors_that_the_circuit_does_not_make() -> None:
    with pytest.raises(InputError) as error:
        run_bpc_lane(np.ones((1, 12), np.float16), circuit_format(2, 8))
    assert str(error.value).startswith("x: 12")
    with pytest.raises(InputError) as error:
        run_bpc_lane(np.ones((1, 8), np.float16), AndaFormat(2, 8))
    assert str(error.value) == 'format: the circuit saturates infinities and NaN; choose nonfinite="saturate"'


@pytest.mark.parametrize("rows", [1, 2, 3, 16])
@pytest.mark.parametrize("mantissa_bits", [1, 7, 16])
def test_compressor_rows_in_their_stated_cycles(rows: int, mantissa_bits: int) -> None:
    format = circuit_format(mantissa_bits, 8)
    x = random_halves(np.random.default_rng(rows), (2 * rows, 16))
    run = run_compressor(x, format, rows=rows)
    assert_same(run.tensor, format.encode(x))
    assert run.cycles == bpc_cycles(4, mantissa_bits, rows)
    assert run.latency_cycles == rows - 1 + BPC_LATENCY_CYCLES


@pytest.mark.parametrize("port", ["groups", "planes"])
def test_compressor_under_pauses(port: str) -> None:
    format = circuit_format(3, 8)
    x = random_halves(np.random.default_rng(9), (9, 16))
    run = run_compressor(x, format, rows=3, pauses={port: random_pause(4)})
    assert_same(run.tensor, format.encode(x))
    assert run.cycles > bpc_cycles(6, 3, 3)


def test_compressor_inputs_that_are_not_whole_blocks() -> None:
    with pytest.raises(InputError) as error:
        run_compressor(np.ones((3, 8), np.float16), circuit_format(2, 8), rows=2)
    assert str(error.value).startswith("x: 3")
    with pytest.raises(InputError) as error:
        BitPlaneCompressor(BitPlaneCompressorParameters(rows=65))
    assert str(error.value).startswith("rows: 65")


@each("mantissa_bits", range(1, 17))
def test_rounding_to_nearest_at_no_extra_cycle(mantissa_bits: int) -> None:
    format = AndaFormat(mantissa_bits, 8, rounding="nearest", nonfinite="saturate")
    rng = np.random.default_rng(mantissa_bits)
    close = (rng.integers(2040, 2048, (24, 8)) * 2.0 ** rng.integers(-14, 2, (24, 8))).astype(np.float16)
    ties = (rng.integers(0, 64, (24, 8)) * 32.0 * 2.0 ** rng.integers(-12, 1, (24, 8))).astype(np.float16)
    x = np.concatenate([adversarial_groups(), random_halves(rng, (16, 8)), close, -ties])
    run = run_bpc_lane(x, format)
    assert_same(run.tensor, format.encode(x))
    assert run.cycles == len(x) * bpc_cycles_per_group(mantissa_bits)


@each("mantissa_bits", range(1, 17))
def test_a_compressor_that_rounds_to_nearest_at_every_width(mantissa_bits: int) -> None:
    format = AndaFormat(mantissa_bits, 8, rounding="nearest", nonfinite="saturate")
    x = np.resize(adversarial_groups(), (3, 24))
    assert_same(run_compressor(x, format, rows=3).tensor, format.encode(x))


@pytest.mark.parametrize("mantissa_bits", [1, 2, 7, 16])
def test_a_compressor_makes_the_plane_masks(mantissa_bits: int) -> None:
    format = AndaFormat(mantissa_bits, 8, nonfinite="saturate", mask_rows=2)
    rng = np.random.default_rng(mantissa_bits)
    x = (2.0 ** rng.integers(-9, 3, (4, 24))).astype(np.float16)
    x[rng.random(x.shape) < 0.7] = 0
    run = run_compressor(x, format, rows=2, pauses={"planes": random_pause(0)})
    assert_same(run.tensor, format.encode(x))
    assert run.masks is not None
    np.testing.assert_array_equal(run.masks, sent_planes(run.tensor, 2)[..., 1:])
    with pytest.raises(InputError) as error:
        run_compressor(x, format, rows=4)
    assert str(error.value).startswith("mask_rows: is 2;")


@pytest.mark.parametrize("name", ["bpc-lane", "compressor"])
def test_verilog_of_a_compressor_that_rounds_to_nearest(name: str) -> None:
    rows = {"rows": 2} if name == "compressor" else {}
    text, plain = (to_verilog(name, lanes=8, nearest=nearest, **rows) for nearest in (1, 0))
    assert "mantissa_aligner_16_nearest" in text
    assert "nearest" not in plain
    assert text.count("module mantissa_aligner") == text.count("module field_extractor") == 1

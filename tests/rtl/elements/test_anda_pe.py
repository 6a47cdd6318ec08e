# amaranth: UnusedElaboratable=no
"""The bit-serial processing element against integer arithmetic."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, InputError
from anda_codesign.formats.anda.bitplanes import pack_bits, pack_planes
from anda_codesign.formats.anda.plane_mask import plane_counts
from anda_codesign.formats.latency.array import MIDPOINT_CYCLES
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl import AndaPE, StalledError, run_pe, run_streams
from anda_codesign.rtl.elements.anda_pe import AndaPEParameters
from anda_codesign.rtl.interfaces import partial_sum_bits
from anda_codesign.rtl.simulation.operands import plane_stream
from anda_codesign.rtl.simulation.packing import pack, unpack
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from latencies import PE_RESULT_CYCLES
from numpy.typing import NDArray


def tensor(signed: NDArray[np.int64], mantissa_bits: int, exponents: NDArray[np.int64] | None = None) -> AndaTensor:
    """Groups of signed mantissas ``[groups, group_size]``; -0 is impossible to write this way."""
    groups, group_size = signed.shape
    exponents = np.full(groups, 15) if exponents is None else exponents
    return AndaTensor(
        AndaFormat(mantissa_bits, group_size),
        (groups, group_size),
        pack_bits(signed < 0).reshape(groups, 1),
        pack_planes(np.abs(signed).astype(np.uint16), mantissa_bits).reshape(groups, 1, mantissa_bits),
        exponents.astype(np.uint8).reshape(groups, 1),
    )


def random_mantissas(rng: np.random.Generator, groups: int, lanes: int, mantissa_bits: int) -> NDArray[np.int64]:
    return rng.integers(-(2**mantissa_bits) + 1, 2**mantissa_bits, (groups, lanes))


def plane_payloads(signed: NDArray[np.int64], mantissa_bits: int, exponent: int = 15) -> list[int]:
    """One group of any number of lanes, written out plane by plane."""
    lanes = len(signed)
    words = [sum(int(value < 0) << i for i, value in enumerate(signed)) | exponent << lanes]
    for position in reversed(range(mantissa_bits)):
        bits = sum((int(abs(value)) >> position & 1) << i for i, value in enumerate(signed))
        words.append(bits | int(position == 0) << (lanes + 5))
    return words


def dot_products(payloads: list[int], lanes: int, weight_bits: int = 4) -> list[int]:
    return unpack(payloads, partial_sum_bits(lanes, weight_bits, 16), 1, signed=True)[:, 0].tolist()


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


@each("mantissa_bits", range(1, 17))
def test_every_mantissa_width_in_its_stated_cycles(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    signed = random_mantissas(rng, 20, 8, mantissa_bits)
    codes = rng.integers(-8, 8, (8, 20)).astype(np.int8)
    exponents = rng.integers(1, 31, 20)
    run = run_pe(tensor(signed, mantissa_bits, exponents), codes)
    assert run.partial_sums.tolist() == (signed * codes.T).sum(axis=1).tolist()
    assert run.exponents.tolist() == (exponents - mantissa_bits).tolist()
    assert run.cycles == 20 * pe_cycles_per_group(mantissa_bits)


@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 7, 8, 13, 31, 33])
def test_any_number_of_lanes(lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    signed = random_mantissas(rng, 8, lanes, 5)
    signed[0], signed[1] = 31, -31
    codes = rng.integers(-8, 8, (8, lanes))
    codes[:2] = -8
    planes = [word for group in signed for word in plane_payloads(group, 5)]
    run = run_streams(
        AndaPE(AndaPEParameters(lanes=lanes)), {"activation": planes, "weights": pack(codes, 4)}, {"result": 8}
    )
    assert dot_products(run.transfers["result"].payloads, lanes) == (signed * codes).sum(axis=1).tolist()


@pytest.mark.parametrize(("weight_bits", "low", "high"), [(4, -8, 7), (5, 0, 15), (8, -128, 127)])
@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_at_64_lanes(weight_bits: int, low: int, high: int, sign: int) -> None:
    """The largest sums of either sign, and alternating ones: the accumulator and the tree must not wrap."""
    signed = np.full((3, 64), sign * 65535)
    codes = np.stack([np.full(64, low), np.full(64, high), np.where(np.arange(64) % 2, low, high)])
    run = run_pe(tensor(signed, 16), codes.astype(np.int8).T, weight_bits=weight_bits)
    assert run.partial_sums.tolist() == (signed * codes).sum(axis=1).tolist()


def test_minus_zero_contributes_nothing() -> None:
    words = [0b1111 | 15 << 4, 0b0000, 0b0000 | 1 << 9]
    run = run_streams(AndaPE(AndaPEParameters(lanes=4)), {"activation": words, "weights": [0x8888]}, {"result": 1})
    assert dot_products(run.transfers["result"].payloads, 4) == [0]


def test_the_mantissa_width_changes_from_group_to_group() -> None:
    rng = np.random.default_rng(0)
    widths = [1, 16, 3, 1, 1, 8, 2]
    groups = [random_mantissas(rng, 1, 4, bits)[0] for bits in widths]
    codes = rng.integers(-8, 8, (len(widths), 4))
    planes = [word for group, bits in zip(groups, widths, strict=True) for word in plane_payloads(group, bits)]
    inputs = {"activation": planes, "weights": pack(codes, 4)}
    run = run_streams(AndaPE(AndaPEParameters(lanes=4)), inputs, {"result": len(widths)})
    assert dot_products(run.transfers["result"].payloads, 4) == (np.stack(groups) * codes).sum(axis=1).tolist()
    last_planes = np.cumsum([pe_cycles_per_group(bits) for bits in widths]) - 1
    assert run.transfers["result"].cycles == (last_planes + PE_RESULT_CYCLES).tolist()


@pytest.mark.parametrize("port", ["activation", "weights", "result"])
@pytest.mark.parametrize("mantissa_bits", [1, 4])
def test_pauses_on_one_port_lose_nothing(port: str, mantissa_bits: int) -> None:
    rng = np.random.default_rng(5)
    signed = random_mantissas(rng, 30, 8, mantissa_bits)
    codes = rng.integers(-8, 8, (8, 30)).astype(np.int8)
    run = run_pe(tensor(signed, mantissa_bits), codes, pauses={port: random_pause(1)})
    assert run.partial_sums.tolist() == (signed * codes.T).sum(axis=1).tolist()
    assert run.cycles > 30 * pe_cycles_per_group(mantissa_bits)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_data_under_any_pauses(data: st.DataObject) -> None:
    mantissa_bits = data.draw(st.integers(1, 16))
    limit = 2**mantissa_bits - 1
    groups = data.draw(st.integers(1, 4))
    flat = st.lists(st.integers(-limit, limit), min_size=8 * groups, max_size=8 * groups)
    signed = np.array(data.draw(flat)).reshape(groups, 8)
    codes = np.array(data.draw(st.lists(st.integers(-8, 7), min_size=8 * groups, max_size=8 * groups)))
    codes = codes.reshape(8, groups).astype(np.int8)
    seeds = data.draw(st.tuples(*[st.integers(0, 1000)] * 3))
    pauses = {port: random_pause(seed) for port, seed in zip(["activation", "weights", "result"], seeds, strict=True)}
    run = run_pe(tensor(signed, mantissa_bits), codes, pauses=pauses)
    assert run.partial_sums.tolist() == (signed * codes.T.astype(np.int64)).sum(axis=1).tolist()


def test_a_result_waits_and_holds_the_next_group() -> None:
    """While nobody takes the result, the next sign plane is not taken either."""
    planes = plane_payloads(np.array([3, -1]), 2) * 2
    inputs = {"activation": planes, "weights": [0x11, 0x11]}
    run = run_streams(
        AndaPE(AndaPEParameters(lanes=2)), inputs, {"result": 2}, pauses={"result": [True] * 10 + [False] * 90}
    )
    assert run.transfers["activation"].cycles == [0, 1, 2, 10, 11, 12]
    assert run.transfers["result"].cycles == [10, 13]


def test_missing_weights_stall_the_planes() -> None:
    with pytest.raises(StalledError, match="nothing moved since cycle 0"):
        run_streams(
            AndaPE(AndaPEParameters(lanes=2)), {"activation": plane_payloads(np.array([1, 1]), 2)}, {"result": 1}
        )


def test_segments_of_a_group_share_its_exponent() -> None:
    rng = np.random.default_rng(2)
    signed = random_mantissas(rng, 3, 64, 6)
    codes = rng.integers(0, 16, (32, 6)).astype(np.int8)
    activations = tensor(signed, 6, np.array([4, 20, 30]))
    run = run_pe(activations, codes)
    assert run.partial_sums.tolist() == (signed.reshape(6, 32) * codes.T).sum(axis=1).tolist()
    assert run.exponents.tolist() == [-2, -2, 14, 14, 24, 24]


def test_the_waveform_is_written(tmp_path: Path) -> None:
    run_pe(tensor(np.ones((1, 8), np.int64), 2), np.ones((8, 1), np.int8), vcd=tmp_path / "pe.vcd")
    assert "partial_sum" in (tmp_path / "pe.vcd").read_text()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lanes": 0}, "lanes: 0"),
        ({"lanes": 129}, "lanes: 129"),
        ({"lanes": True}, "lanes: True is not valid"),
        ({"weight_bits": 1}, "weight_bits: 1"),
        ({"max_mantissa_bits": 17}, "max_mantissa_bits: 17"),
        ({"max_mantissa_bits": "7"}, "max_mantissa_bits: '7'"),
    ],
)
def test_illegal_parameters(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        AndaPE(AndaPEParameters(**parameters))
    assert str(error.value).startswith(message)


def test_codes_that_do_not_fit_the_groups() -> None:
    activations = tensor(np.ones((2, 8), np.int64), 3)
    for shape in [(8, 3), (3, 2), (16, 1)]:
        with pytest.raises(InputError) as error:
            run_pe(activations, np.ones(shape, np.int8))
        assert str(error.value).startswith(f"codes: have shape {list(shape)}")


@pytest.mark.parametrize("mantissa_bits", [1, 2, 7, 16])
def test_midpoint_reconstruction_at_no_extra_cycle(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    x = (rng.standard_normal((12, 8)) * rng.choice([1e-3, 1, 100], (12, 8))).astype(np.float16)
    activations = AndaFormat(mantissa_bits, 8, reconstruct="midpoint").encode(x)
    codes = rng.integers(-8, 8, (8, 12)).astype(np.int8)
    expected = (activations.signed_integers().reshape(12, 8) * codes.T).sum(axis=1)
    run = run_pe(activations, codes)
    assert run.partial_sums.tolist() == expected.tolist()
    assert (run.exponents - 14).tolist() == activations.unit_exponents().ravel().tolist()
    assert run.cycles == 12 * pe_cycles_per_group(mantissa_bits)
    for port in ("activation", "weights", "result"):
        assert run_pe(activations, codes, pauses={port: random_pause(3)}).partial_sums.tolist() == expected.tolist()


def test_midpoint_delays_the_result_by_its_stated_cycles() -> None:
    planes = plane_payloads(np.array([3, -1]), 2)
    run = run_streams(
        AndaPE(AndaPEParameters(lanes=2, midpoint=True)), {"activation": planes, "weights": [0x11]}, {"result": 1}
    )
    assert run.transfers["result"].cycles == [2 + PE_RESULT_CYCLES + MIDPOINT_CYCLES]


def sparse(rng: np.random.Generator, *shape: int) -> NDArray[np.float16]:
    """Few one-bits: many bit-planes are zero, inside a mantissa and at its end."""
    x = 2.0 ** rng.integers(-8, 3, shape) * rng.choice([-1, 1, 1.25], shape)
    x[rng.random(shape) < 0.7] = 0
    return x.astype(np.float16)


@pytest.mark.parametrize("reconstruct", ["truncate", "midpoint"])
@each("mantissa_bits", range(1, 17))
def test_planes_without_a_one_cost_no_cycle(mantissa_bits: int, reconstruct: str) -> None:
    rng = np.random.default_rng(mantissa_bits)
    masked = AndaFormat(mantissa_bits, 8, reconstruct=reconstruct, mask_rows=1).encode(sparse(rng, 20, 8))
    codes = rng.integers(-8, 8, (8, 20)).astype(np.int8)
    run = run_pe(masked, codes)
    plain = run_pe(dataclasses.replace(masked, format=AndaFormat(mantissa_bits, 8, reconstruct=reconstruct)), codes)
    # planes that are left out at a group's end are zeros that the sum does not have
    np.testing.assert_array_equal(run.partial_sums << (run.exponents - plain.exponents), plain.partial_sums)
    if reconstruct == "midpoint":
        np.testing.assert_array_equal(run.exponents, plain.exponents)
    counts = plane_counts(masked, 1)
    assert run.cycles == sum(pe_cycles_per_group(int(count)) for count in counts.ravel())
    assert mantissa_bits < 3 or run.cycles < plain.cycles


def test_planes_are_skipped_in_two_stages() -> None:
    rng = np.random.default_rng(0)
    masked = AndaFormat(9, 8, mask_rows=1).encode(sparse(rng, 20, 8))
    codes = rng.integers(-8, 8, (20, 8))
    inputs = {"activation": plane_stream(masked, 8), "weights": pack(codes, 4)}
    one, two = (
        run_streams(AndaPE(AndaPEParameters(lanes=8, stages=stages, skipping=True)), inputs, {"result": 20}).transfers[
            "result"
        ]
        for stages in (1, 2)
    )
    assert one.payloads == two.payloads


def test_masks_of_other_blocks_are_refused() -> None:
    masked = AndaFormat(3, 8, mask_rows=2).encode(np.ones((1, 8), np.float16))
    with pytest.raises(InputError) as error:
        plane_stream(masked, 8)
    assert str(error.value).startswith("mask_rows: is 2")


def test_midpoint_extremes_fit_the_accumulator() -> None:
    x = np.full((1, 64), -65504, np.float16)
    activations = AndaFormat(16, reconstruct="midpoint").encode(x)
    codes = np.full((64, 1), -8, np.int8)
    expected = (activations.signed_integers().ravel().astype(np.int64) * -8).sum()
    assert run_pe(activations, codes).partial_sums.tolist() == [expected]

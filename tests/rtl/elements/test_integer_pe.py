# amaranth: UnusedElaboratable=no
"""The integer baselines and the Anda element with the same ending, against their software twins."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.activations.aligned import FIGNA_MANTISSA_BITS, FignaFormat, IfpuFormat
from anda_codesign.formats.latency.elements import FP16_GROUP_CYCLES, pe_cycles_per_group
from anda_codesign.formats.processing_elements.aligned import aligned_dot, weight_planes
from anda_codesign.formats.processing_elements.scaled import scale_and_accumulate
from anda_codesign.rtl import StreamRun, run_streams
from anda_codesign.rtl.elements.integer_pe import (
    FiglutPE,
    FignaParameters,
    FignaPE,
    IfpuParameters,
    IfpuPE,
    doubled_sum_bits,
)
from anda_codesign.rtl.elements.scaled_pe import ScaledAndaPE, ScaledAndaPEParameters
from anda_codesign.rtl.interfaces import partial_sum_bits
from anda_codesign.rtl.simulation.operands import plane_stream
from anda_codesign.rtl.simulation.packing import pack, pack_fields, unpack
from latencies import FIGLUT_GROUP_CYCLES, PE_RESULT_CYCLES, figna_lanes, group_scaling_cycles, steps_per_group
from numpy.typing import NDArray

from .serial_sums import fp16_table, plane_serial_sums, read_table, table_serial_sums

OUTPUTS, GROUPS, ELEMENTS = 3, 2, 64


def activations(rng: np.random.Generator, elements: int = ELEMENTS) -> NDArray[np.float16]:
    """Groups of unlike magnitudes with outliers and zeros; the last output has the extremes."""
    x = rng.standard_normal((OUTPUTS, GROUPS * elements)) * 2.0 ** rng.integers(-6, 5, (OUTPUTS, GROUPS * elements))
    x[rng.random(x.shape) < 0.1] = 0
    x[-1] = np.where(np.arange(GROUPS * elements) < elements, 65504, -(2.0**-24))
    return x.astype(np.float16)


def codes_and_scales(
    rng: np.random.Generator, elements: int = ELEMENTS
) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    codes = rng.integers(-8, 8, (OUTPUTS, GROUPS, elements)).astype(np.int8)
    codes[-1] = -8
    return codes, (rng.random((OUTPUTS, GROUPS)) + 0.01).astype(np.float16)


def scale_words(scales: NDArray[np.float16]) -> list[int]:
    last = np.tile(np.arange(scales.shape[1]) == scales.shape[1] - 1, scales.shape[0])
    return pack_fields([(scales.view(np.uint16).ravel(), 16), (last, 1)])


def steps(values: NDArray[np.integer], lanes: int) -> NDArray[np.integer]:
    """``[..., elements]`` as ``[..., steps, lanes]``, the last step filled with zeros."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % lanes)])
    return padded.reshape(*values.shape[:-1], -1, lanes)


def figna_words(integers: NDArray, exponents: NDArray, codes: NDArray, lanes: int, bits: int) -> list[int]:
    a, w = steps(integers, lanes), steps(codes, lanes)
    count = a.shape[-2]
    last = np.tile(np.arange(count) == count - 1, OUTPUTS * GROUPS)
    below = np.repeat(exponents.ravel().astype(np.int64) + 15 - bits, count)
    return pack_fields([(a.reshape(-1, lanes), bits + 1), (w.reshape(-1, lanes), 4), (below, 6), (last, 1)])


def serial_words(integers: NDArray, exponents: NDArray, weights: NDArray, weight_bits: int, bits: int) -> list[int]:
    """Steps of groups ``[groups, chunks, lanes]`` with ``[groups, chunks, planes, weights]``, plane by plane."""
    groups, chunks, lanes = integers.shape
    count = chunks * 4
    planes = weights.reshape(groups * count, -1)
    places = np.tile(np.arange(4), groups * chunks)
    start = np.repeat(-integers.astype(np.int64).sum(axis=(1, 2)), count)
    last = np.tile(np.arange(count) == count - 1, groups)
    below = np.repeat(exponents.ravel().astype(np.int64) + 14 - bits, count)
    repeated = np.repeat(integers.reshape(-1, lanes), 4, axis=0)
    start_bits = partial_sum_bits(64, 1, bits)
    return pack_fields(
        [(repeated, bits + 1), (planes, weight_bits), (below, 6), (last, 1), (places, 2), (start, start_bits)]
    )


def assert_singles(run: StreamRun, expected: tuple[NDArray[np.float32], bool]) -> None:
    assert run.transfers["result"].payloads == expected[0].view(np.uint32).tolist()
    assert run.flags == {"saturated": expected[1]}


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


@pytest.mark.parametrize(("stages", "adder_stages"), [(1, 1), (2, 1), (3, 5)])
@pytest.mark.parametrize(("bits", "lanes"), [(13, 4), (11, 4), (8, 4), (11, 6), (8, 8), (1, 64)])
def test_figna_in_its_stated_cycles(bits: int, lanes: int, stages: int, adder_stages: int) -> None:
    adder_stages = min(adder_stages, steps_per_group(lanes))
    rng = np.random.default_rng(bits)
    a = FignaFormat(mantissa_bits=bits).encode(activations(rng))
    codes, scales = codes_and_scales(rng)
    words = figna_words(a.integers, a.exponents, codes, lanes, bits)
    pe = FignaPE(FignaParameters(lanes=lanes, mantissa_bits=bits, stages=stages, adder_stages=adder_stages))
    inputs = {"operands": words, "scales": scale_words(scales)}
    run = run_streams(pe, inputs, {"result": OUTPUTS}, flags=["saturated"])
    assert_singles(run, aligned_dot(a.integers, a.exponents, codes, scales, bits))
    count = OUTPUTS * GROUPS * steps_per_group(lanes)
    assert run.transfers["operands"].cycles == list(range(count))
    assert run.transfers["result"].cycles[-1] == count - 1 + stages + group_scaling_cycles(adder_stages)


def test_figna_at_the_published_rates() -> None:
    """16 cycles for a group of 64, and 16 / 11 and 16 / 8 times as fast."""
    rates = {bits: FignaFormat(mantissa_bits=bits).cycles_per_group for bits in (FIGNA_MANTISSA_BITS, 11, 8)}
    assert {bits: steps_per_group(figna_lanes(bits)) for bits in rates} == rates == {13: 16, 11: 11, 8: 8}


@pytest.mark.parametrize(
    ("bits", "stages", "tree", "adder_stages"),
    [
        (24, 1, "ripple", 1),
        (13, 2, "ripple", 3),
        (8, 1, "ripple", 1),
        (28, 2, "ripple", 1),
        (4, 1, "carry-save", 1),
        (24, 3, "ripple", 5),
        (13, 3, "carry-save", 2),
    ],
)
def test_ifpu_in_its_stated_cycles(bits: int, stages: int, tree: Any, adder_stages: int) -> None:
    rng = np.random.default_rng(bits)
    a = IfpuFormat(mantissa_bits=bits).encode(activations(rng))
    codes, scales = codes_and_scales(rng)
    chunks = a.integers.reshape(OUTPUTS * GROUPS, 4, 16)
    planes = weight_planes(codes).reshape(OUTPUTS * GROUPS, 4, 16, 4).swapaxes(-1, -2)
    words = serial_words(chunks, a.exponents, planes, 1, bits)
    inputs = {"operands": words, "scales": scale_words(scales)}
    pe = IfpuPE(IfpuParameters(mantissa_bits=bits, stages=stages, tree=tree, adder_stages=adder_stages))
    run = run_streams(pe, inputs, {"result": OUTPUTS}, flags=["saturated"])
    assert_singles(run, aligned_dot(a.integers, a.exponents, codes, scales, bits))
    count = OUTPUTS * GROUPS * FP16_GROUP_CYCLES
    assert run.transfers["operands"].cycles == list(range(count))
    assert run.transfers["result"].cycles[-1] == count - 1 + stages + group_scaling_cycles(adder_stages)


@pytest.mark.parametrize("outputs", [1, 4, 32])
@pytest.mark.parametrize("bits", [13, 28])
def test_figlut_in_its_stated_cycles(bits: int, outputs: int) -> None:
    rng = np.random.default_rng(outputs)
    a = FignaFormat(mantissa_bits=bits).encode(activations(rng))
    groups = a.integers.reshape(OUTPUTS * GROUPS, 64).astype(np.int64)
    codes = rng.integers(-8, 8, (OUTPUTS * GROUPS, outputs, 64)).astype(np.int8)
    codes[-2:] = np.array([-8, 7])[:, None, None]
    chunks = groups.reshape(-1, 16, 4)
    planes = weight_planes(codes).reshape(-1, outputs, 16, 4, 4).transpose(0, 2, 4, 1, 3)
    words = serial_words(chunks, a.exponents, planes, 1, bits)
    run = run_streams(FiglutPE(outputs=outputs, mantissa_bits=bits), {"operands": words}, {"sums": len(groups)})
    sums = unpack(run.transfers["sums"].payloads, doubled_sum_bits(64, bits), outputs, signed=True)
    assert sums.tolist() == (2 * (groups[:, None] * codes).sum(axis=-1)).tolist()
    assert sums.tolist() == table_serial_sums(np.repeat(groups[:, None], outputs, axis=1), codes).tolist()
    assert np.diff(run.transfers["sums"].cycles).tolist() == [FIGLUT_GROUP_CYCLES] * (len(groups) - 1)
    assert run.transfers["sums"].cycles[0] == FIGLUT_GROUP_CYCLES + 1


def test_the_serial_baselines_give_the_integers_of_the_parallel_one() -> None:
    rng = np.random.default_rng(3)
    integers = rng.integers(-(2**13) + 1, 2**13, (50, 64))
    codes = rng.integers(-8, 8, (50, 64)).astype(np.int8)
    expected = (2 * (integers * codes).sum(axis=-1)).tolist()
    assert plane_serial_sums(integers, codes).tolist() == expected
    assert table_serial_sums(integers, codes).tolist() == expected


@pytest.mark.parametrize("port", ["operands", "scales", "result"])
def test_pauses_lose_nothing(port: str) -> None:
    rng = np.random.default_rng(6)
    a = FignaFormat(mantissa_bits=8).encode(activations(rng))
    codes, scales = codes_and_scales(rng)
    inputs = {"operands": figna_words(a.integers, a.exponents, codes, 32, 8), "scales": scale_words(scales)}
    for stages, adder_stages in [(2, 1), (3, 5)]:
        pe, pauses = (
            FignaPE(FignaParameters(lanes=32, mantissa_bits=8, stages=stages, adder_stages=adder_stages)),
            {port: random_pause(1)},
        )
        run = run_streams(pe, inputs, {"result": OUTPUTS}, flags=["saturated"], pauses=pauses)
        assert_singles(run, aligned_dot(a.integers, a.exponents, codes, scales, 8))


def test_figlut_under_pauses() -> None:
    rng = np.random.default_rng(7)
    integers = rng.integers(-255, 256, (3, 16, 4))
    codes = rng.integers(-8, 8, (3, 2, 64)).astype(np.int8)
    planes = weight_planes(codes).reshape(3, 2, 16, 4, 4).transpose(0, 2, 4, 1, 3)
    words = serial_words(integers, np.zeros(3), planes, 1, 8)
    for port in ("operands", "sums"):
        pauses = {port: random_pause(2)}
        run = run_streams(FiglutPE(outputs=2, mantissa_bits=8), {"operands": words}, {"sums": 3}, pauses=pauses)
        sums = unpack(run.transfers["sums"].payloads, doubled_sum_bits(64, 8), 2, signed=True)
        assert sums.tolist() == (2 * (integers.reshape(3, 1, 64) * codes).sum(axis=-1)).tolist()


@pytest.mark.parametrize(
    ("mantissa_bits", "stages", "adder_stages"), [(1, 1, 1), (4, 3, 5), (7, 2, 4), (16, 1, 1), (1, 3, 2)]
)
def test_anda_with_the_same_ending(mantissa_bits: int, stages: int, adder_stages: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    a = AndaFormat(mantissa_bits, 8).encode(activations(rng, 8))
    codes, scales = codes_and_scales(rng, 8)
    inputs = {
        "activation": plane_stream(a, 8),
        "weights": pack(codes.reshape(-1, 8).astype(np.int64), 4),
        "scales": scale_words(scales),
    }
    pe = ScaledAndaPE(ScaledAndaPEParameters(lanes=8, stages=stages, adder_stages=adder_stages))
    run = run_streams(pe, inputs, {"result": OUTPUTS}, flags=["saturated"])
    sums = (a.signed_integers().reshape(codes.shape).astype(np.int64) * codes).sum(axis=-1)
    values = np.ldexp(sums.astype(np.float64), a.exponents.astype(np.int64) - 14 - mantissa_bits)
    assert_singles(run, scale_and_accumulate(values, scales))
    count = OUTPUTS * GROUPS * pe_cycles_per_group(mantissa_bits)
    assert run.transfers["result"].cycles[-1] == count - 1 + PE_RESULT_CYCLES + stages - 1 + group_scaling_cycles(
        adder_stages
    )


def test_illegal_parameters() -> None:
    for kind, field, value in (
        (FignaParameters, "lanes", 0),
        (FignaParameters, "mantissa_bits", 29),
        (FignaParameters, "weight_bits", 1),
        (FignaParameters, "group_size", 129),
        (FignaParameters, "stages", 4),
        (IfpuParameters, "lanes", "16"),
        (IfpuParameters, "mantissa_bits", 0),
        (FiglutPE, "outputs", 65),
        (FiglutPE, "mantissa_bits", 40),
    ):
        with pytest.raises(InputError, match=f"^{field}: {value!r}"):
            kind(**{field: value})


def test_codes_that_no_four_bits_hold() -> None:
    with pytest.raises(InputError) as error:
        weight_planes(np.array([-9, 3], np.int8))
    assert str(error.value).startswith("codes: span -9..3")


def test_tables_hold_every_sum_of_signs() -> None:
    integers = np.array([[3, -50, 700, -9000], [0, 1, -1, 8191]])
    keys = np.arange(16)
    table = fp16_table(integers)
    for row, x in enumerate(integers):
        read = read_table(np.repeat(table[row : row + 1], 16, axis=0), keys)
        signs = [[1 if key >> i & 1 else -1 for i in range(4)] for key in range(16)]
        assert read.tolist() == [int(np.dot(sign, x)) for sign in signs]
        assert (read == -read[::-1]).all()

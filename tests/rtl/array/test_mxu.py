# amaranth: UnusedElaboratable=no
"""The matrix unit against `fp_int_gemm`: outputs, flags, cycles."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, GemmFlags, InputError, Int4Weights
from anda_codesign.formats.anda.plane_mask import plane_counts
from anda_codesign.formats.latency.array import unit_pipeline_cycles
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl.array.mxu import MatrixUnit, MatrixUnitParameters
from anda_codesign.rtl.simulation.testbenches.array import run_matrix_unit
from cases import each
from gemm_operands import affine, assert_equal
from latencies import matrix_unit_cycles
from numpy.typing import NDArray


def activations(rng: np.random.Generator, tokens: int, channels: int, format: AndaFormat) -> AndaTensor:
    x = rng.standard_normal((tokens, channels))
    x[:, ::7] *= 30
    return format.encode(x.astype(np.float16))


def symmetric(rng: np.random.Generator, channels: int, outputs: int, group_size: int) -> Int4Weights:
    return Int4Weights.quantize(rng.standard_normal((channels, outputs)), group_size)


@each("mantissa_bits", range(1, 17))
def test_every_mantissa_width_in_its_stated_cycles(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    a, w = activations(rng, 2, 32, AndaFormat(mantissa_bits, 8)), symmetric(rng, 32, 4, 16)
    run = run_matrix_unit(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    assert run.cycles == matrix_unit_cycles(2, 4, pe_cycles_per_group(mantissa_bits), columns=2)


@pytest.mark.parametrize("mantissa_bits", [1, 2, 7, 16])
def test_affine_weights_in_their_stated_cycles(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    a, w = activations(rng, 2, 32, AndaFormat(mantissa_bits, 8)), affine(rng, 32, 4, 8)
    run = run_matrix_unit(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    assert run.cycles == matrix_unit_cycles(2, 4, pe_cycles_per_group(mantissa_bits), columns=2, affine=True)


@each("mantissa_bits", range(1, 17))
def test_midpoint_reconstruction_at_no_extra_cycle_per_group(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    a = activations(rng, 2, 32, AndaFormat(mantissa_bits, 8, reconstruct="midpoint"))
    is_affine = mantissa_bits % 2 == 0
    w = (affine if is_affine else symmetric)(rng, 32, 4, 8)
    run = run_matrix_unit(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    group_cycles = pe_cycles_per_group(mantissa_bits)
    assert run.cycles == matrix_unit_cycles(2, 4, group_cycles, 2, is_affine, midpoint=True)
    assert run.cycles == matrix_unit_cycles(2, 4, group_cycles, 2, is_affine) + 1


@each("mantissa_bits", range(1, 17))
def test_planes_without_a_one_in_any_row_cost_no_cycle(mantissa_bits: int) -> None:
    """Under midpoint reconstruction and affine weights, too."""
    rng = np.random.default_rng(mantissa_bits)
    x = 2.0 ** rng.integers(-8, 3, (2, 32)) * rng.choice([-1, 1, 1.25], (2, 32))
    x[rng.random(x.shape) < 0.7] = 0
    reconstruct = "midpoint" if mantissa_bits % 2 else "truncate"
    a = AndaFormat(mantissa_bits, 8, reconstruct=reconstruct, mask_rows=2).encode(x.astype(np.float16))
    is_affine = mantissa_bits % 4 < 2
    w = (affine if is_affine else symmetric)(rng, 32, 4, 8)
    run = run_matrix_unit(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    cycles = sum(pe_cycles_per_group(int(count)) for count in plane_counts(a, 2).ravel())
    assert run.cycles == matrix_unit_cycles(2, 1, cycles, 2, is_affine, reconstruct == "midpoint")
    assert mantissa_bits < 3 or cycles < 4 * pe_cycles_per_group(mantissa_bits)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (3, 1), (2, 5)])
@pytest.mark.parametrize("make_weights", [symmetric, affine])
def test_array_sizes_and_tails(rows: int, columns: int, make_weights: type[Int4Weights]) -> None:
    """Tokens, outputs and channels that fill neither array nor group."""
    rng = np.random.default_rng(rows * 8 + columns)
    a, w = activations(rng, 4, 28, AndaFormat(5, 8)), make_weights(rng, 28, 4, 8)
    run = run_matrix_unit(a, w, rows=rows, columns=columns)
    assert_equal(run, a, w)


@pytest.mark.parametrize(("group_size", "weight_group"), [(8, 32), (16, 8), (32, 32)])
def test_groups_of_activations_and_weights(group_size: int, weight_group: int) -> None:
    rng = np.random.default_rng(group_size)
    a, w = activations(rng, 2, 64, AndaFormat(6, group_size)), affine(rng, 64, 2, weight_group)
    assert_equal(run_matrix_unit(a, w, rows=2, columns=2), a, w)


@pytest.mark.parametrize("midpoint", [False, True])
@pytest.mark.parametrize("affine_unit", [False, True])
def test_tiles_shorter_than_the_pipeline_wait_for_the_drain(affine_unit: bool, midpoint: bool) -> None:
    rng = np.random.default_rng(0)
    a = activations(rng, 1, 8, AndaFormat(1, 8, reconstruct="midpoint" if midpoint else "truncate"))
    w = affine(rng, 8, 20, 8) if affine_unit else symmetric(rng, 8, 20, 8)
    run = run_matrix_unit(a, w, rows=1, columns=4)
    assert_equal(run, a, w)
    tile = unit_pipeline_cycles(affine_unit, midpoint) + 4
    assert run.cycles == 2 + 4 * tile + tile - 1 == matrix_unit_cycles(5, 1, 2, 4, affine_unit, midpoint)


@pytest.mark.parametrize(
    ("mantissa_bits", "units", "signs", "reconstruct"),
    [(3, 4, "row", "truncate"), (3, 4, "own", "midpoint"), (1, 2, "row", "truncate"), (7, 8, "row", "truncate")],
)
def test_units_of_a_row_take_turns_at_no_cycle(mantissa_bits: int, units: int, signs: str, reconstruct: Any) -> None:
    """Short tiles follow each other; the last plane of the next one waits for the last column, as with single units."""
    rng = np.random.default_rng(units)
    a = activations(rng, 2, 16, AndaFormat(mantissa_bits, 8, reconstruct=reconstruct))
    w = symmetric(rng, 16, 16, 8)
    run = run_matrix_unit(a, w, rows=2, columns=8, signs=signs, units=units, tree="carry-save", operand_isolation=True)
    assert_equal(run, a, w)
    group_cycles = pe_cycles_per_group(mantissa_bits)
    assert run.cycles == matrix_unit_cycles(2, 2, group_cycles, 8, midpoint=reconstruct == "midpoint")


@pytest.mark.parametrize("reconstruct", ["truncate", "midpoint"])
def test_a_short_group_waits_for_the_units_before_it(reconstruct: Any) -> None:
    rng = np.random.default_rng(2)
    a = activations(rng, 2, 40, AndaFormat(1, 8, reconstruct=reconstruct))
    w = symmetric(rng, 40, 4, 8)
    run = run_matrix_unit(a, w, rows=2, columns=4, units=4)
    assert_equal(run, a, w)
    first = pe_cycles_per_group(1)
    assert run.cycles == matrix_unit_cycles(1, 5, 4, 4, midpoint=reconstruct == "midpoint") - (4 - first)


@pytest.mark.parametrize(
    ("port", "options"),
    [
        *((port, {"signs": "row", "units": 2}) for port in ("planes", "weights", "factors", "outputs")),
        ("planes", {"signs": "row", "affine": True}),
    ],
)
def test_pauses_of_an_array_with_shared_parts(port: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    make = affine if options.pop("affine", False) else symmetric
    a, w = activations(rng, 4, 24, AndaFormat(1, 8)), make(rng, 24, 4, 8)
    assert_equal(
        run_matrix_unit(a, w, rows=2, columns=2, pauses={port: (rng.random(97) < 0.7).tolist()}, **options), a, w
    )


@pytest.mark.parametrize("port", ["planes", "weights", "factors", "outputs"])
def test_pauses_on_one_port_change_nothing_but_time(port: str) -> None:
    rng = np.random.default_rng(1)
    a, w = activations(rng, 4, 24, AndaFormat(2, 8)), affine(rng, 24, 4, 8)
    pauses = {port: (rng.random(97) < 0.7).tolist()}
    run = run_matrix_unit(a, w, rows=2, columns=2, pauses=pauses)
    assert_equal(run, a, w)
    midpoint = dataclasses.replace(a, format=AndaFormat(2, 8, reconstruct="midpoint"))
    assert_equal(run_matrix_unit(midpoint, w, rows=2, columns=2, pauses=pauses), midpoint, w)
    assert run.cycles > matrix_unit_cycles(4, 3, 3, 2, affine=True)


def adversarial(case: str) -> tuple[NDArray[np.float16], Int4Weights]:
    """Extremes of one group of 8 channels, for 2 tokens and 2 outputs."""
    ones = np.ones((8, 2), np.int8)
    halves = np.ones((1, 2), np.float16)
    match case:
        case "partial sums overflow":
            return np.full((2, 8), 65504, np.float16), Int4Weights(ones * np.int8(-8), halves * np.float16(0.001), 8)
        case "outputs overflow":
            return np.full((2, 8), 100, np.float16), Int4Weights(ones * np.int8(7), halves * np.float16(-60000), 8)
        case "subnormals":
            return np.full((2, 8), 2.0**-24, np.float16), Int4Weights(ones, halves * np.float16(2.0**-24), 8)
        case "minus zero":
            return np.full((2, 8), -0.0, np.float16), Int4Weights(ones, -halves, 8)
        case "tiny negative sums round to minus zero":
            x = np.array([[-(2.0**-24)] + [0] * 7, [-1] + [0] * 7], np.float16)
            return x, Int4Weights(ones, halves * np.float16(2.0**-24), 8)
        case _:
            x = np.array([[1, -1, 2, -2, 4, -4, 8, -8], [65504, -65504, 1, 0, 0, 0, 0, 0]], np.float16)
            return x, Int4Weights(ones, halves, 8)


@pytest.mark.parametrize(
    "case",
    [
        "partial sums overflow",
        "outputs overflow",
        "subnormals",
        "minus zero",
        "tiny negative sums round to minus zero",
        "cancellation",
    ],
)
@pytest.mark.parametrize("mantissa_bits", [1, 11, 16])
def test_extremes(case: str, mantissa_bits: int) -> None:
    x, w = adversarial(case)
    a = AndaFormat(mantissa_bits, 8).encode(x)
    assert_equal(run_matrix_unit(a, w, rows=2, columns=2), a, w)


def test_the_extremes_raise_their_flags() -> None:
    a, w = adversarial("partial sums overflow")
    assert run_matrix_unit(AndaFormat(4, 8).encode(a), w, rows=2, columns=2).flags == GemmFlags(True, False)
    a, w = adversarial("outputs overflow")
    assert run_matrix_unit(AndaFormat(4, 8).encode(a), w, rows=2, columns=2).flags == GemmFlags(False, True)


def test_an_overflowing_activation_sum_raises_the_flag() -> None:
    x = np.full((1, 8), 60000, np.float16)
    zero = np.zeros((1, 1), np.float16)
    w = Int4Weights(np.zeros((8, 1), np.int8), zero, 8, zero)
    a = AndaFormat(8, 8).encode(x)
    run = run_matrix_unit(a, w, rows=1, columns=1)
    assert_equal(run, a, w)
    assert run.flags == GemmFlags(partial_saturated=True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rows": 0}, "rows: 0"),
        ({"columns": 65}, "columns: 65"),
        ({"lanes": 0}, "lanes: 0"),
        ({"columns": 6, "units": 4}, "units: 4 is no divisor"),
        ({"affine": True, "units": 2}, "units: 2 do not work with affine"),
        ({"midpoint": True, "signs": "row"}, "signs: 'row'"),
    ],
)
def test_illegal_parameters(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        MatrixUnit(MatrixUnitParameters(**parameters))
    assert str(error.value).startswith(message)

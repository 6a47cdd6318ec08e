# amaranth: UnusedElaboratable=no
"""The matrix engine against `fp_int_gemm` and its stated cycles; buffers, dispatcher, collector within it."""

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, InputError, Int4Weights
from anda_codesign.formats.anda.plane_mask import plane_counts
from anda_codesign.rtl import run_streams
from anda_codesign.rtl.array.buffers import ADDRESS_BITS, RowBuffer
from anda_codesign.rtl.array.collector import OutputCollector
from anda_codesign.rtl.array.engine import MatrixEngine, MatrixEngineParameters
from anda_codesign.rtl.simulation.packing import pack, unpack
from anda_codesign.rtl.simulation.testbenches.array import run_matrix_engine
from cases import each
from gemm_operands import affine, assert_equal
from latencies import matrix_engine_cycles


def activations(rng: np.random.Generator, tokens: int, channels: int, format: AndaFormat) -> AndaTensor:
    return format.encode((rng.standard_normal((tokens, channels)) * 3).astype(np.float16))


@each("mantissa_bits", range(1, 17))
def test_every_mantissa_width_in_its_stated_cycles(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    a = activations(rng, 2, 32, AndaFormat(mantissa_bits, 8))
    w = Int4Weights.quantize(rng.standard_normal((32, 8)), 8)
    run = run_matrix_engine(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    assert run.cycles == matrix_engine_cycles(4, 4, mantissa_bits, rows=2, columns=2, lanes=8)


@pytest.mark.parametrize("mantissa_bits", [1, 2, 3, 4, 7])
def test_signs_of_the_row_and_shared_units_change_no_cycle(mantissa_bits: int) -> None:
    """The weights come a cycle earlier, with the sign plane."""
    rng = np.random.default_rng(mantissa_bits)
    a = activations(rng, 4, 24, AndaFormat(mantissa_bits, 8))
    w = Int4Weights.quantize(rng.standard_normal((24, 16)), 8)
    plain = run_matrix_engine(a, w, rows=2, columns=4)
    run = run_matrix_engine(a, w, rows=2, columns=4, signs="row", units=4)
    assert_equal(run, a, w)
    assert run.cycles == plain.cycles


@pytest.mark.parametrize("mantissa_bits", [1, 2, 3, 4, 7, 16])
def test_midpoint_reconstruction_in_its_stated_cycles(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    a = activations(rng, 2, 32, AndaFormat(mantissa_bits, 8, reconstruct="midpoint"))
    w = affine(rng, 32, 8, 8)
    run = run_matrix_engine(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    size = {"rows": 2, "columns": 2, "lanes": 8, "affine": True}
    assert run.cycles == matrix_engine_cycles(4, 4, mantissa_bits, **size, midpoint=True)
    if mantissa_bits > 3:
        assert run.cycles == matrix_engine_cycles(4, 4, mantissa_bits, **size) + 1


@pytest.mark.parametrize("mantissa_bits", [1, 2, 5, 8, 16])
@pytest.mark.parametrize("reconstruct", ["truncate", "midpoint"])
def test_planes_without_a_one_are_not_read(mantissa_bits: int, reconstruct: str) -> None:
    rng = np.random.default_rng(mantissa_bits)
    x = 2.0 ** rng.integers(-12, 3, (4, 32)) * rng.choice([-1, 1, 1.25], (4, 32))
    x[rng.random(x.shape) < 0.8] = 0
    a = AndaFormat(mantissa_bits, 8, reconstruct=reconstruct, mask_rows=2).encode(x.astype(np.float16))
    w = affine(rng, 32, 8, 8)
    run = run_matrix_engine(a, w, rows=2, columns=2)
    assert_equal(run, a, w)
    size = {"rows": 2, "columns": 2, "lanes": 8, "affine": True, "midpoint": reconstruct == "midpoint"}
    sent = np.repeat(plane_counts(a, 2), 4, axis=0).ravel().tolist()
    assert run.cycles == matrix_engine_cycles(8, 4, sent, **size)
    assert mantissa_bits < 5 or run.cycles < matrix_engine_cycles(8, 4, mantissa_bits, **size)


@pytest.mark.parametrize(("rows", "columns"), [(1, 8), (2, 4), (3, 1), (4, 8)])
@pytest.mark.parametrize(("tokens", "channels", "outputs"), [(3, 16, 9), (5, 8, 16)])
def test_affine_weights_tails_and_several_commands(
    rows: int, columns: int, tokens: int, channels: int, outputs: int
) -> None:
    """Short tiles, too: those wait for drain and collector."""
    rng = np.random.default_rng(rows * columns)
    a, w = activations(rng, tokens, channels, AndaFormat(2, 8)), affine(rng, channels, outputs, 8)
    run = run_matrix_engine(a, w, rows=rows, columns=columns)
    assert_equal(run, a, w)
    tiles = -(-tokens // rows) * -(-outputs // 8) * 8 // columns
    stated = matrix_engine_cycles(tiles, channels // 8, 2, rows=rows, columns=columns, lanes=8, affine=True)
    assert run.cycles == stated


def test_groups_share_the_factors_of_their_weight_group() -> None:
    """Five groups in weight groups of two: the last one is alone, and the next tile starts anew."""
    rng = np.random.default_rng(0)
    a = activations(rng, 2, 40, AndaFormat(4, 8))
    w = Int4Weights.quantize(rng.standard_normal((40, 16)), 16)
    assert_equal(run_matrix_engine(a, w, rows=2, columns=4), a, w)


def test_pauses_at_the_output_change_nothing_but_time() -> None:
    rng = np.random.default_rng(1)
    a, w = activations(rng, 4, 16, AndaFormat(3, 8)), affine(rng, 16, 16, 8)
    run = run_matrix_engine(a, w, rows=2, columns=4, pauses={"groups": (rng.random(97) < 0.9).tolist()})
    assert_equal(run, a, w)
    assert run.cycles > matrix_engine_cycles(8, 2, 3, rows=2, columns=4, lanes=8, affine=True)


def test_a_buffer_answers_in_order_under_pauses() -> None:
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 256, 16).tolist()
    addresses = rng.integers(0, 16, 50).tolist()
    tags = rng.integers(0, 2, 50).tolist()
    inputs = {
        "write": [address | row << ADDRESS_BITS for address, row in enumerate(rows)],
        "read": [address | tag << ADDRESS_BITS for address, tag in zip(addresses, tags, strict=True)],
    }
    pauses = {"read": [True] * 16 + (rng.random(200) < 0.5).tolist(), "answer": (rng.random(61) < 0.5).tolist()}
    run = run_streams(RowBuffer(width=8, depth=16), inputs, {"answer": 50}, pauses=pauses)
    expected = [rows[address] | tag << 8 for address, tag in zip(addresses, tags, strict=True)]
    assert run.transfers["answer"].payloads == expected


def test_a_collector_transposes_under_pauses() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 65536, (2, 4, 3))  # blocks, channels, tokens
    pauses = {name: (rng.random(53) < 0.4).tolist() for name in ("columns", "groups")}
    columns = pack(values.reshape(8, 3), 16)
    run = run_streams(OutputCollector(rows=3, lanes=4), {"columns": columns}, {"groups": 6}, pauses=pauses)
    groups = unpack(run.transfers["groups"].payloads, 16, 4).reshape(2, 3, 4)
    np.testing.assert_array_equal(groups, values.swapaxes(1, 2))


def test_illegal_parameters() -> None:
    with pytest.raises(InputError) as error:
        MatrixEngine(MatrixEngineParameters(columns=24))
    assert str(error.value).startswith("columns: 24")
    with pytest.raises(InputError) as error:
        RowBuffer(width=8, depth=1)
    assert str(error.value).startswith("depth: 1")

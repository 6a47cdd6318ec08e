# amaranth: UnusedElaboratable=no
"""The processing element's trees, gating and pipeline: the same integers as without them."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError, Int4Weights, fp_int_gemm
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl import AndaPE, run_matrix_unit, run_streams
from anda_codesign.rtl.elements.anda_pe import AndaPEParameters
from anda_codesign.rtl.interfaces import partial_sum_bits
from anda_codesign.rtl.simulation.packing import pack, unpack
from latencies import PE_RESULT_CYCLES
from numpy.typing import NDArray

OPTIONS = [
    {"tree": "carry-save"},
    {"operand_isolation": True},
    {"stages": 2},
    {"tree": "carry-save", "operand_isolation": True, "stages": 2},
    {"stages": 3},
    {"tree": "carry-save", "operand_isolation": True, "stages": 3},
    {"signs": "row"},
    {"signs": "row", "stages": 2},
    {"signs": "row", "tree": "carry-save", "operand_isolation": True},
    {"signs": "row", "tree": "carry-save", "operand_isolation": True, "stages": 3},
]


def plane_words(signed: NDArray[np.int64], mantissa_bits: int) -> list[int]:
    """Payloads of groups ``[groups, lanes]``: sign plane, then mantissa planes."""
    lanes = signed.shape[1]
    places = np.arange(mantissa_bits)[::-1]
    planes = np.abs(signed)[:, None] >> places[:, None] & 1
    bits = np.concatenate([(signed < 0)[:, None].astype(np.int64), planes], axis=1)
    exponents = np.full((*bits.shape[:2], 5), [1, 1, 1, 1, 0])
    last = np.zeros((*bits.shape[:2], 1), np.int64)
    last[:, -1] = 1
    return pack(np.concatenate([bits, exponents, last], axis=2).reshape(-1, lanes + 6), 1)


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


def run(signed: NDArray[np.int64], codes: NDArray[np.int64], mantissa_bits: int, pauses: Any = None, **options: Any):
    groups, lanes = signed.shape
    weight_bits = 4 if np.abs(codes).max() <= 8 else 8
    planes = plane_words(signed, mantissa_bits)
    inputs = {"activation": planes, "weights": pack(codes, weight_bits)}
    pe = AndaPE(AndaPEParameters(lanes=lanes, weight_bits=weight_bits, **options))
    result = run_streams(pe, inputs, {"result": groups}, pauses=pauses).transfers["result"]
    bits = partial_sum_bits(lanes, weight_bits, 16)
    sums = unpack(result.payloads, bits, 1, signed=True)[:, 0].tolist()
    exponents = unpack(result.payloads, 6, 1, start=bits, signed=True)[:, 0].tolist()
    assert exponents == [15 - mantissa_bits] * groups
    return sums, result.cycles


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("mantissa_bits", [1, 5])
def test_the_same_sums_in_the_same_cycles(mantissa_bits: int, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(mantissa_bits)
    limit = 2**mantissa_bits
    signed, codes = rng.integers(1 - limit, limit, (12, 16)), rng.integers(-8, 8, (12, 16))
    signed[0], signed[1], codes[:2] = limit - 1, 1 - limit, -8
    sums, cycles = run(signed, codes, mantissa_bits, **options)
    assert sums == (signed * codes).sum(axis=1).tolist()
    first = pe_cycles_per_group(mantissa_bits) - 1 + PE_RESULT_CYCLES + options.get("stages", 1) - 1
    assert cycles == [first + group * pe_cycles_per_group(mantissa_bits) for group in range(12)]


@pytest.mark.parametrize(
    ("lanes", "low", "high"), [*((lanes, -8, 7) for lanes in (1, 2, 3, 5, 13, 64)), (13, -128, 127)]
)
def test_carry_save_at_any_number_of_lanes(lanes: int, low: int, high: int) -> None:
    rng = np.random.default_rng(lanes)
    signed, codes = rng.integers(-31, 32, (8, lanes)), rng.integers(low, high + 1, (8, lanes))
    signed[:4] = np.array([31, -31, 31, -31])[:, None]
    codes[:4] = np.array([low, low, high, high])[:, None]
    assert run(signed, codes, 5, tree="carry-save")[0] == (signed * codes).sum(axis=1).tolist()


@pytest.mark.parametrize("port", ["activation", "weights", "result"])
@pytest.mark.parametrize("mantissa_bits", [1, 4])
@pytest.mark.parametrize("signs", ["own", "row"])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_stages_under_pauses(port: str, mantissa_bits: int, stages: int, signs: str) -> None:
    rng = np.random.default_rng(5)
    limit = 2**mantissa_bits
    signed, codes = rng.integers(1 - limit, limit, (30, 8)), rng.integers(-8, 8, (30, 8))
    sums, _ = run(signed, codes, mantissa_bits, pauses={port: random_pause(1)}, stages=stages, signs=signs)
    assert sums == (signed * codes).sum(axis=1).tolist()


@pytest.mark.parametrize(("affine", "reconstruct"), [(False, "truncate"), (True, "midpoint")])
def test_the_array_with_another_tree(affine: bool, reconstruct: Any) -> None:
    rng = np.random.default_rng(11)
    a = AndaFormat(3, 8, reconstruct=reconstruct).encode(rng.standard_normal((2, 16)).astype(np.float16))
    w = Int4Weights.quantize(rng.standard_normal((16, 3)), group_size=8)
    if affine:
        offsets = rng.standard_normal(w.scales.shape).astype(np.float16)
        w = Int4Weights((w.codes + 8).astype(np.int8), w.scales, 8, offsets)
    plain = run_matrix_unit(a, w, rows=1, columns=2)
    other = run_matrix_unit(a, w, rows=1, columns=2, tree="carry-save", operand_isolation=True)
    assert other.outputs.view(np.uint16).tolist() == fp_int_gemm(a, w).view(np.uint16).tolist()
    assert other.cycles == plain.cycles


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tree": "wallace"}, "tree: 'wallace'"),
        ({"stages": 4}, "stages: 4"),
        ({"signs": "none"}, "signs: 'none'"),
        ({"signs": "row", "midpoint": True}, "signs: 'row'"),
        ({"stages": 2, "midpoint": True}, "stages: 2"),
    ],
)
def test_illegal_options(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        AndaPE(AndaPEParameters(**parameters))
    assert str(error.value).startswith(message)

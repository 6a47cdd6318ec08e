# amaranth: UnusedElaboratable=no
"""The operators of integer-only inference against `formats.integer_only`."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import di_exp, exp_guard_bits, integer_softmax, integer_sqrt
from anda_codesign.rtl import run_streams
from anda_codesign.rtl.operators.integer_only import DiExp, IntegerSqrt, SerialDivider, SoftmaxLane
from latencies import serial_cycles, softmax_lane_cycles
from numpy.typing import NDArray


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


@pytest.mark.parametrize(("bits", "denominator", "quotient"), [(12, 5, 12), (12, 5, 4), (3, 9, 2), (1, 1, 1)])
def test_quotients_and_remainders(bits: int, denominator: int, quotient: int) -> None:
    rng = np.random.default_rng(bits)
    pairs = [(int(rng.integers(0, 1 << bits)), int(rng.integers(1, 1 << denominator))) for _ in range(60)]
    pairs += [(0, 1), ((1 << bits) - 1, 1), ((1 << bits) - 1, (1 << denominator) - 1)]
    divider = SerialDivider(numerator_bits=bits, denominator_bits=denominator, quotient_bits=quotient)
    run = run_streams(divider, {"operands": [n | d << bits for n, d in pairs]}, {"result": len(pairs)})
    for word, (n, d) in zip(run.transfers["result"].payloads, pairs, strict=True):
        assert word >> (quotient + denominator) == (n // d >> quotient > 0)
        if n // d < 1 << quotient:
            assert word == n // d | n % d << quotient
    cycles = serial_cycles(quotient)
    assert run.transfers["result"].cycles == [cycles * (index + 1) for index in range(len(pairs))]


def test_pauses_lose_no_quotient() -> None:
    divider = SerialDivider(numerator_bits=6, denominator_bits=3, quotient_bits=6)
    for port in ("operands", "result"):
        inputs = {"operands": [n | 5 << 6 for n in range(40)]}
        run = run_streams(divider, inputs, {"result": 40}, pauses={port: random_pause(1)})
        assert run.transfers["result"].payloads == [n // 5 | n % 5 << 6 for n in range(40)]


def exponentials(x: NDArray[np.int64], m: int, k: int, guard: int, **parameters: int) -> tuple[list[int], int]:
    """Results of the circuit for the arguments of `di_exp`, and its cycles per result."""
    steps = di_exp(0, m, k, guard)[1]
    circuit = DiExp(**parameters)
    words = [-int(value) << guard | steps << circuit.input_bits for value in x]
    run = run_streams(circuit, {"operands": words}, {"result": len(words)})
    assert set(np.diff(run.transfers["result"].cycles)) == {serial_cycles(circuit.halving_bits)}
    return run.transfers["result"].payloads, steps


@pytest.mark.parametrize("scale", [(241, 12), (129, 12), (255, 14), (128, 10)])
@pytest.mark.parametrize("guarded", [True, False])
def test_exponentials_of_every_code(scale: tuple[int, int], guarded: bool) -> None:
    """All 256 distances of 8-bit scores, with the recommended guard bits and with none."""
    x = -np.arange(256)
    guard = exp_guard_bits(*scale) if guarded else 0
    e, _ = di_exp(x, *scale, guard)
    assert exponentials(x, *scale, guard)[0] == e.tolist()


def test_exponentials_of_fine_and_of_coarse_steps() -> None:
    x = -np.concatenate([np.arange(60), 2 ** np.arange(6, 30)])
    for m, k in [(1, 30), (3, 31), (200, 20), (1, 2)]:
        e, _ = di_exp(x, m, k)
        assert exponentials(x, m, k, 0, input_bits=32, steps_bits=32)[0] == e.tolist()


@pytest.mark.parametrize("bits", [2, 8, 32, 64])
def test_square_roots(bits: int) -> None:
    rng = np.random.default_rng(bits)
    limit = min(1 << bits, 1 << 63)
    roots = rng.integers(0, 1 << bits // 2, 20, dtype=np.uint64).astype(object)
    near = [int(root) ** 2 + offset for root in roots for offset in (-1, 0, 1)]
    values = [value for value in [0, 1, 2, 3, limit - 1, *near] if 0 <= value < limit]
    run = run_streams(IntegerSqrt(bits=bits), {"operand": values}, {"root": len(values)})
    assert run.transfers["root"].payloads == integer_sqrt(np.array(values, np.int64)).tolist()
    assert set(np.diff(run.transfers["root"].cycles)) == {serial_cycles(bits // 2)}


def test_every_square_root_of_ten_bits() -> None:
    run = run_streams(IntegerSqrt(bits=10), {"operand": list(range(1024))}, {"root": 1024})
    assert run.transfers["root"].payloads == integer_sqrt(np.arange(1024)).tolist()


def softmax_rows(rng: np.random.Generator, lengths: list[int]) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Rows of scores below their maximum, with masked positions."""
    rows: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] = []
    for length in lengths:
        x, mask = -rng.integers(0, 256, length), rng.random(length) < 0.8
        best = rng.integers(length)
        x[best], mask[best] = 0, True
        rows.append((x, mask))
    return rows


@pytest.mark.parametrize("bits", [8, 15])
@pytest.mark.parametrize("port", ["", "scores", "probabilities"])
def test_softmax_of_rows(bits: int, port: str) -> None:
    lengths, m, k = [1, 7, 16, 2], 241, 12
    rows = softmax_rows(np.random.default_rng(bits), lengths)
    guard = exp_guard_bits(m, k)
    steps = di_exp(0, m, k, guard)[1]
    words = [
        -int(value) << guard | steps << 18 | int(not valid) << 32 | int(index == len(x) - 1) << 33
        for x, mask in rows
        for index, (value, valid) in enumerate(zip(x, mask, strict=True))
    ]
    expected = [
        int(probability) | int(index == len(x) - 1) << bits
        for x, mask in rows
        for index, probability in enumerate(integer_softmax(x, m, k, bits, mask=mask))
    ]
    lane = SoftmaxLane(bits=bits, depth=16)
    pauses = {port: random_pause(3)} if port else {}
    outputs = {"probabilities": len(expected)}
    run = run_streams(lane, {"scores": words}, outputs, flags=["overflow"], pauses=pauses)
    assert run.transfers["probabilities"].payloads == expected
    assert run.flags == {"overflow": 0}
    if not port:
        starts = np.cumsum([0, *lengths])
        for row, length in enumerate(lengths):
            first = run.transfers["scores"].cycles[starts[row]]
            last = run.transfers["probabilities"].cycles[starts[row + 1] - 1]
            assert last - first + 1 == softmax_lane_cycles(length, lane.exponential.halving_bits, bits)


def test_a_row_that_is_too_long_is_flagged() -> None:
    words = [100 << 18 | int(index == 2) << 33 for index in range(3)]
    lane = SoftmaxLane(depth=2)
    assert run_streams(lane, {"scores": words}, {"probabilities": 2}, flags=["overflow"]).flags == {"overflow": 1}


@pytest.mark.parametrize(
    ("operator", "parameters", "message"),
    [
        (IntegerSqrt, {"bits": 7}, "bits: 7"),
        (IntegerSqrt, {"bits": 66}, "bits: 66"),
        (DiExp, {"steps_bits": 33}, "steps_bits: 33"),
        (DiExp, {"input_bits": 3, "steps_bits": 16}, "input_bits: 3"),
        (SoftmaxLane, {"bits": 17}, "bits: 17"),
        (SoftmaxLane, {"depth": 1}, "depth: 1"),
        (
            SerialDivider,
            {"numerator_bits": 4, "denominator_bits": 4, "quotient_bits": 5},
            "quotient_bits: 5",
        ),
    ],
)
def test_illegal_parameters(operator: Any, parameters: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        operator(**parameters)
    assert str(error.value).startswith(message)

"""What the processing elements are fed, all with the same dot products, and the sums that must come out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import AndaFormat
from ..anda_element import AndaElement
from ..floating_dot import FloatingDot
from ..fp_pe import FpIntPE
from ..operands import plane_stream
from ..packing import pack
from ..scaling import GroupAccumulator
from .operands import Operands
from .stimulus import Stimulus, float_bits, regroup

GROUPS_PER_OUTPUT = 8
"""Groups that one output accumulates over: 512 channels of 64 lanes."""

Sums = NDArray[np.float32]


def floating_dot(design: FloatingDot, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Every group in turn, with weights as halves or as codes; an output after `GROUPS_PER_OUTPUT` groups.

    An addend is +0, the zeros above the other fields.
    """
    codes = design.weight_bits
    weights = operands.codes if codes else operands.weights
    steps = operands.lanes * GROUPS_PER_OUTPUT // design.ways
    inputs = {"operands": _steps(operands.activations, weights, design.ways, codes, steps)}
    count = len(inputs["operands"]) // steps
    expected: dict[str, list[int]] = {}
    if design.summation == "chained" and design.rounding == "nearest" and not design.addend:
        sums = _chained(operands.activations, weights, design.ways, steps)
        expected = {"result": float_bits(sums)}
    inputs["operands"] = inputs["operands"][: count * steps]
    return [Stimulus("trace", inputs, {"result": count}, count * steps * design.ways, "MAC", expected)]


def fp_int_pe(design: FpIntPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Every group in turn, with its scale."""
    dot = design.dot
    steps = operands.lanes // dot.ways
    expected: dict[str, list[int]] = {}
    if dot.summation == "chained" and dot.rounding == "nearest":
        sums = _chained(operands.activations, operands.codes, dot.ways, steps)
        expected = {"result": float_bits(_scaled(sums.astype(np.float16), operands))}
    inputs = {
        "operands": _steps(operands.activations, operands.codes, dot.ways, dot.weight_bits, steps),
        "scales": _scales(operands),
    }
    return [Stimulus("trace", inputs, _outputs(operands), operands.activations.size, "MAC", expected)]


def group_accumulator(design: GroupAccumulator, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """The dot products of Anda groups, one in M + 1 cycles."""
    runs: list[Stimulus] = []
    for m in mantissa_bits:
        sums, exponents = _anda_sums(operands, m)
        words = [
            int(total) & (1 << design.bits) - 1 | (int(exponent) & 63) << design.bits
            for total, exponent in zip(sums, exponents, strict=True)
        ]
        expected = {"result": float_bits(_scaled(_to_half(sums, exponents), operands))}
        inputs = {"groups": words, "scales": _scales(operands)}
        waits = {"groups": [*[True] * m, False]}
        runs.append(
            Stimulus(f"M={m}", inputs, _outputs(operands), operands.activations.size, "MAC", expected, pauses=waits)
        )
    return runs


def anda_element(design: AndaElement, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Every group in turn, with its scale."""
    pe = design.pe
    runs: list[Stimulus] = []
    for m in (m for m in mantissa_bits if m <= pe.max_mantissa_bits):
        tensor = AndaFormat(mantissa_bits=m, group_size=pe.lanes).encode(operands.activations)
        inputs = {
            "activation": plane_stream(tensor, pe.lanes),
            "weights": pack(operands.codes, pe.weight_bits),
            "scales": _scales(operands),
        }
        expected = {"result": float_bits(_scaled(_to_half(*_anda_sums(operands, m)), operands))}
        runs.append(Stimulus(f"M={m}", inputs, _outputs(operands), operands.activations.size, "MAC", expected))
    return runs


def _anda_sums(operands: Operands, mantissa_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The groups' integer dot products, and their exponents less M."""
    tensor = AndaFormat(mantissa_bits=mantissa_bits, group_size=operands.lanes).encode(operands.activations)
    integers = tensor.signed_integers().reshape(operands.codes.shape).astype(np.int64)
    return (integers * operands.codes).sum(axis=1), tensor.exponents.reshape(-1).astype(np.int64) - mantissa_bits


def _to_half(sums: NDArray[np.int64], exponents: NDArray[np.int64]) -> NDArray[np.float16]:
    """Dot products as halves: a float64 holds them exactly."""
    return np.ldexp(sums.astype(np.float64), exponents - 14).astype(np.float16)


def _scaled(halves: NDArray[np.float16], operands: Operands) -> Sums:
    """Groups times their scales, summed in FP32 over the groups of each output."""
    products = halves.astype(np.float32) * operands.scales.astype(np.float32)
    whole = len(products) // GROUPS_PER_OUTPUT * GROUPS_PER_OUTPUT
    return _running(products[:whole].reshape(-1, GROUPS_PER_OUTPUT))


def _chained(activations: NDArray[np.float16], weights: NDArray[Any], ways: int, steps: int) -> Sums:
    """Products added in pairs, then to the accumulator: float32 ``[outputs]`` of `steps` steps each."""
    products = activations.astype(np.float32) * weights.astype(np.float32)
    parts = regroup(products, ways)
    while parts.shape[1] > 1:
        parts = parts[:, 0::2] + parts[:, 1::2]
    whole = len(parts) // steps * steps
    return _running(parts[:whole].reshape(-1, steps))


def _running(rows: Sums) -> Sums:
    """The sum of each row, one summand after the other."""
    total = np.zeros(len(rows), np.float32)
    for column in rows.T:
        total = total + column
    return total


def _steps(
    activations: NDArray[np.float16], weights: NDArray[Any], ways: int, weight_bits: int, steps: int
) -> list[int]:
    """Payloads of `operands_layout`: `ways` halves, `ways` weights, and whether `steps` steps are complete."""
    left = pack(regroup(activations, ways).view(np.uint16).astype(np.int64), 16)
    right = pack(regroup(weights, ways) if weight_bits else regroup(weights, ways).view(np.uint16), weight_bits or 16)
    width = ways * (16 + (weight_bits or 16))
    return [
        x | w << 16 * ways | (index % steps == steps - 1) << width
        for index, (x, w) in enumerate(zip(left, right, strict=True))
    ]


def _scales(operands: Operands) -> list[int]:
    """Payloads of `SCALE`, one per group."""
    bits = operands.scales.view(np.uint16).tolist()
    return [scale | (index % GROUPS_PER_OUTPUT == GROUPS_PER_OUTPUT - 1) << 16 for index, scale in enumerate(bits)]


def _outputs(operands: Operands) -> dict[str, int]:
    return {"result": len(operands.scales) // GROUPS_PER_OUTPUT}

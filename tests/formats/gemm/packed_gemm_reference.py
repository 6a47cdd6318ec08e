"""The GeMM of packed weights written for the eye, in fractions, one output at a time; tests hold the fast one to it."""

from fractions import Fraction

import numpy as np
from anda_codesign.formats.anda.format import AndaTensor
from anda_codesign.formats.gemm.reference import round_to_fp16, round_to_fp32
from anda_codesign.formats.weights.dense_sparse import DenseSparseWeights
from anda_codesign.formats.weights.grouped_int import IntegerWeights
from numpy.typing import NDArray


def weight_gemm_reference(a: AndaTensor, w: IntegerWeights | DenseSparseWeights) -> NDArray[np.float16]:
    """The same result as `weight_gemm`, bit for bit, at a few thousand multiplications a second."""
    result = np.zeros((*a.shape[:-1], w.shape[1]), np.float16)
    for token in np.ndindex(*a.shape[:-1]):
        x = activations(a, token)
        for output in range(w.shape[1]):
            if isinstance(w, IntegerWeights):
                total = _integer_output(x, w, output, a.format.group_size)
            else:
                total = _dense_sparse_output(x, w, output, a.format.group_size)
            value = np.float16(float(round_to_fp16(total)[0]))
            result[(*token, output)] = np.copysign(value, -1 if total < 0 else 1)
    return result


def activations(a: AndaTensor, token: tuple[int, ...]) -> list[Fraction]:
    """The exact values of a token's channels."""
    integers, units = a.signed_integers()[token], a.unit_exponents()[token]
    scaled = [int(m) * Fraction(2) ** int(unit) for group, unit in zip(integers, units, strict=True) for m in group]
    return scaled[: a.shape[-1]]


def _integer_output(x: list[Fraction], w: IntegerWeights, output: int, activation_group: int) -> Fraction:
    step = min(activation_group, w.group_size)
    codes = [int(q) for q in w.integers()[:, output]]
    total = Fraction(0)
    for start in range(0, len(x), step):
        own = slice(start, start + step)
        products = sum((value * q for value, q in zip(x[own], codes[own], strict=True)), Fraction(0))
        contributions = [(products, w.scales)]
        if w.offsets is not None:
            contributions.append((sum(x[own], Fraction(0)), w.offsets))
        for value, factors in contributions:
            factor = Fraction(float(factors[start // w.group_size, output]))
            total = round_to_fp32(total + round_to_fp32(round_to_fp16(value)[0] * factor))
    return total


def _dense_sparse_output(x: list[Fraction], w: DenseSparseWeights, output: int, activation_group: int) -> Fraction:
    dense = [Fraction(float(value)) for value in w.dense()[:, output]]
    total = Fraction(0)
    for start in range(0, len(x), activation_group):
        own = slice(start, start + activation_group)
        products = sum((value * weight for value, weight in zip(x[own], dense[own], strict=True)), Fraction(0))
        total = round_to_fp32(total + round_to_fp32(products))
    for entry in range(int(w.sparse.row_offsets[output]), int(w.sparse.row_offsets[output + 1])):
        value = Fraction(float(w.sparse.values[entry]))
        total = round_to_fp32(total + round_to_fp32(x[int(w.sparse.columns[entry])] * value))
    return total

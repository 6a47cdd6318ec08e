"""The integer vector unit: the operators of I-LLM (arXiv 2405.17849) counted in integer lane operations.

An ``add`` is a 32-bit addition, subtraction, comparison, selection or shift; a ``multiply`` is a 32-bit product. The steps
are those of `anda_codesign.formats.integer_only`. Division by a number that a whole row shares takes a product with its
reciprocal, a shift and a rounding addition for each value, and `DIVISION_STEPS` additions once a row. The sigmoid's
divisor differs for each value and takes `QUOTIENT_BITS` shift-and-subtract steps. Dot products stay in the array; their
conversion to dyadic numbers and codes is counted here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ...formats import InputError
from ...workloads import ModelShape
from .vector_work import Scores, VectorWork

DIVISION_STEPS = 32
"""Steps of a serial divider, also for square roots: one bit of the result a step."""

QUOTIENT_BITS = 16
"""Bits of the sigmoid's quotient in the integer decoder (docs/integer_only.md)."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Operations for one value, or one row."""

    add: int
    multiply: int = 0

    @property
    def total(self) -> int:
        """Operations of both kinds; a lane does one in a cycle."""
        return self.add + self.multiply

    def __add__(self, other: "Steps") -> "Steps":
        return Steps(self.add + other.add, self.multiply + other.multiply)


SCALE_DOWN = Steps(2, 1)
"""Division by a number of the row: product with the reciprocal, rounding addition, shift."""
DIVISION = Steps(DIVISION_STEPS)

PRODUCT = Steps(1, 2)
"""Conversion of a dot product to a dyadic number: correction of the zero point, and the column's scale."""

REQUANTIZE = Steps(5) + SCALE_DOWN
"""DI-MatMul's second half: minimum, maximum, subtract, times ``2**bits - 1`` by shift and subtract, quotient."""
REQUANTIZE_ROW = DIVISION + DIVISION + Steps(2, 2)
"""Reciprocals of range and scale, leading bit, shift, and the scale's products."""

EXPONENTIAL = Steps(1) + Steps(1, 1) + Steps(1, 1) + Steps(3)
"""DI-Exp: guard shift; halvings by reciprocal; remainder; the chord's shift and sum, and the shift by the halvings."""

SOFTMAX = Steps(2) + REQUANTIZE + Steps(1) + EXPONENTIAL + Steps(2) + SCALE_DOWN
"""DI-ClippedSoftmax: maximum, clip, requantise, subtract, exponential, accumulate, shift, quotient."""
SOFTMAX_ROW = REQUANTIZE_ROW + DIVISION + DIVISION
"""Requantisation, and the reciprocals of DI-Exp's steps and of the row's sum."""

RMS_NORM = Steps(3, 1) + SCALE_DOWN + Steps(0, 1)
"""DI-Norm: largest magnitude, shift, square, accumulate; quotient by the root; gain."""
LAYER_NORM = RMS_NORM + Steps(3)
"""RMS norm, and mean, centring and bias."""
NORM_ROW = DIVISION + DIVISION + DIVISION
"""Mean square, root, and its reciprocal."""

SWIGLU = Steps(1, 1) + EXPONENTIAL + Steps(5) + Steps(QUOTIENT_BITS) + Steps(0, 2)
"""DI-SwiGLU: smooth, magnitude, exponential, select twice, sum, shift, round, quotient, and two products."""
RELU = Steps(1)

RESIDUAL = Steps(1, 1) + Steps(5) + Steps(3)
"""The branch's scale and largest magnitude; both aligned with rounding, and added; range and final shift."""

ROTATION = Steps(3, 2)
"""Largest magnitude, shift, two products and a sum."""


def integer_layer_work(shape: ModelShape, tokens: int, scores: Scores, lanes: int) -> tuple[VectorWork, ...]:
    """Work of the integer vector unit in one decoder block, with the parameters of `vector.layer_work`.

    Every lane does one operation in a cycle. Operations that occur once a row fill the lanes with several rows.
    """
    _check_integer_shape(shape)
    hidden, ffn = tokens * shape.hidden, tokens * shape.ffn
    ups = 2 if shape.gated else 1
    qkv = tokens * (shape.query_channels + shape.projected_kv_channels)
    attended = scores.rows * shape.head_dim
    products = qkv + hidden + ups * ffn + hidden + scores.scores + attended
    requantized = 2 * hidden + qkv + (ups + 1) * ffn + attended
    requantized_rows = tokens * (2 + shape.heads + 2 * shape.kv_heads + ups + 1 + 1)
    requantize = [(REQUANTIZE, requantized), (REQUANTIZE_ROW, requantized_rows)]
    work = [
        integer_norm_work("norms", shape, shape.block_norms * tokens, lanes),
        _work("softmax", [(SOFTMAX, scores.scores), (SOFTMAX_ROW, scores.rows)], lanes, scores.scores),
        _work("activation", [(SWIGLU if shape.gated else RELU, ffn)], lanes, ups * ffn, ffn),
        _work("residuals", [(RESIDUAL, 2 * hidden)], lanes, 2 * hidden),
        _work("dyadic products", [(PRODUCT, products)], lanes, products),
        _work("requantisation", requantize, lanes, requantized),
    ]
    if shape.rotary_channels:
        heads = shape.heads + (0 if shape.shares_kv else shape.kv_heads)
        rotated = tokens * heads * shape.rotary_channels
        work.append(_work("rotation", [(ROTATION, rotated)], lanes, rotated))
    return tuple(work)


def _check_integer_shape(shape: ModelShape) -> None:
    """Refuse a model with work that I-LLM has no operator for."""
    missing = {
        "GELU": shape.activation == "gelu",
        "an ungated SiLU": shape.activation == "silu" and not shape.gated,
        "a gated ReLU": shape.activation == "relu" and shape.gated,
        "norms of queries and keys": shape.qk_norm,
        "capped scores": shape.score_cap is not None or shape.logit_cap is not None,
        "routed experts": shape.experts is not None,
    }
    for part, needed in missing.items():
        if needed:
            raise InputError(f"vector_unit: integer has no operator for {part}, which {shape.name} needs; use fp16")


def integer_norm_work(name: str, shape: ModelShape, rows: int, lanes: int) -> VectorWork:
    """Work of a norm over some rows of hidden channels."""
    values, norm = rows * shape.hidden, LAYER_NORM if shape.norm == "layer" else RMS_NORM
    return _work(name, [(norm, values), (NORM_ROW, rows)], lanes, values)


def _work(
    name: str, parts: Iterable[tuple[Steps, int]], lanes: int, values: int, results: int | None = None
) -> VectorWork:
    """Work of some steps; as many results as values if their number is not given."""
    listed = list(parts)
    add = sum(steps.add * count for steps, count in listed)
    multiply = sum(steps.multiply * count for steps, count in listed)
    cycles = -(-(add + multiply) // lanes)
    return VectorWork(name, {"add": add, "multiply": multiply}, cycles, values, values if results is None else results)

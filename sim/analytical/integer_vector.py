"""The vector unit in integers alone: the operators of I-LLM (arXiv 2405.17849) counted in integer lane operations.

An ``add`` is a 32-bit addition, subtraction, comparison, selection or shift; a ``multiply`` a 32-bit product. The steps
are those of `anda_codesign.formats.integer_only`. A division by a number that all values of a row share is a product with its
reciprocal, a shift and a rounding addition for each value, and `DIVISION_STEPS` additions once a row; the sigmoid's
divisor differs from value to value and costs `QUOTIENT_BITS` shift-and-subtract steps. Dot products stay in the array;
what turns them into dyadic numbers and codes is counted here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...workloads import ModelShape
from .vector_work import Scores, VectorWork

DIVISION_STEPS = 32
"""Of a serial divider, square root included: a bit of the result a step."""

QUOTIENT_BITS = 16
"""Of the sigmoid, as the integer decoder has it (docs/integer_only.md)."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Operations for one value, or one row."""

    add: int
    multiply: int = 0

    @property
    def total(self) -> int:
        """Of both kinds; a lane does one a cycle."""
        return self.add + self.multiply

    def __add__(self, other: "Steps") -> "Steps":
        return Steps(self.add + other.add, self.multiply + other.multiply)


SCALE_DOWN = Steps(2, 1)
"""A quotient by a row's number: product with the reciprocal, rounding addition, shift."""
DIVISION = Steps(DIVISION_STEPS)

PRODUCT = Steps(1, 2)
"""A dot product made dyadic: the zero point's correction, and the column's scale."""

REQUANTIZE = Steps(5) + SCALE_DOWN
"""DI-MatMul's second half: minimum, maximum, subtract, times ``2**bits - 1`` by shift and subtract, quotient."""
REQUANTIZE_ROW = DIVISION + DIVISION + Steps(2, 2)
"""Reciprocals of range and scale, leading bit, shift, and the scale's products."""

EXPONENTIAL = Steps(1) + Steps(1, 1) + Steps(1, 1) + Steps(3)
"""DI-Exp: guard shift; halvings by reciprocal; remainder; the chord's shift and sum, and the shift by the halvings."""

SOFTMAX = Steps(2) + REQUANTIZE + Steps(1) + EXPONENTIAL + Steps(2) + SCALE_DOWN
"""DI-ClippedSoftmax: maximum, clip, requantise, subtract, exponential, accumulate, shift, quotient."""
SOFTMAX_ROW = REQUANTIZE_ROW + DIVISION + DIVISION
"""Beside requantisation, reciprocals of DI-Exp's steps and of the row's sum."""

RMS_NORM = Steps(3, 1) + SCALE_DOWN + Steps(0, 1)
"""DI-Norm: largest magnitude, shift, square, accumulate; quotient by the root; gain."""
LAYER_NORM = RMS_NORM + Steps(3)
"""Mean, centre, and bias besides."""
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
    """What the integer vector unit does in one block; arguments as of `vector.layer_work`.

    Every lane does one operation a cycle; what is done once a row fills the lanes with several rows.
    """
    hidden, ffn = tokens * shape.hidden, tokens * shape.ffn
    ups = 2 if shape.gated else 1
    qkv = hidden + 2 * tokens * shape.kv_channels
    norm = LAYER_NORM if shape.family == "opt" else RMS_NORM
    attended = scores.rows * shape.head_dim
    products = qkv + hidden + ups * ffn + hidden + scores.scores + attended
    requantized = 2 * hidden + qkv + (ups + 1) * ffn + attended
    requantized_rows = tokens * (2 + shape.heads + 2 * shape.kv_heads + ups + 1 + 1)
    work = [
        _work("norms", [(norm, 2 * hidden), (NORM_ROW, 2 * tokens)], 2 * hidden),
        _work("softmax", [(SOFTMAX, scores.scores), (SOFTMAX_ROW, scores.rows)], scores.scores),
        _work("activation", [(SWIGLU if shape.gated else RELU, ffn)], ups * ffn),
        _work("residuals", [(RESIDUAL, 2 * hidden)], 2 * hidden),
        _work("dyadic products", [(PRODUCT, products)], products),
        _work("requantisation", [(REQUANTIZE, requantized), (REQUANTIZE_ROW, requantized_rows)], requantized),
    ]
    if shape.family == "llama":
        rotated = hidden + tokens * shape.kv_channels
        work.append(_work("rotation", [(ROTATION, rotated)], rotated))
    return tuple(replace(each, cycles=-(-each.total // lanes)) for each in work)


def _work(name: str, parts: Iterable[tuple[Steps, int]], values: int) -> VectorWork:
    listed = list(parts)
    add = sum(steps.add * count for steps, count in listed)
    multiply = sum(steps.multiply * count for steps, count in listed)
    return VectorWork(name, {"add": add, "multiply": multiply}, 0, values)

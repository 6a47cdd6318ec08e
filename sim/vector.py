"""The vector unit: norms, softmax, activation functions, rotations and residuals, counted in lane operations.

Every lane does one operation a cycle. In FP16, additions, multiplications and maxima are one operation; the exponential
and the reciprocal are `FUNCTION_OPERATIONS`, a square root counts as a reciprocal. What the unit does once per token or
row is counted too, so that short rows are not free. `integer_vector` counts the same layer in integers alone.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from ..formats import InputError
from ..workloads import ModelShape

FUNCTION_OPERATIONS = 4
"""Of an exponential or reciprocal: a table look-up and a polynomial of second degree. An assumption; the publication
gives only the number of lanes."""

VectorUnit = Literal["fp16", "integer"]
"""What the lanes compute in: FP16, or integers alone as I-LLM does (arXiv 2405.17849)."""


@dataclass(frozen=True, slots=True)
class VectorWork:
    """Operations of one kind of work in one layer."""

    name: str
    operations: dict[str, int]
    """By kind: ``fp16``; ``add`` and ``multiply`` in integers."""
    values: int
    """Values read from the activation buffer; the branch of a residual comes from the array."""

    @property
    def total(self) -> int:
        """Operations of all kinds; a lane does one a cycle."""
        return sum(self.operations.values())


def check_vector_unit(name: str) -> VectorUnit:
    """The vector unit of that name.

    Raises:
        InputError: there is none.
    """
    if name not in get_args(VectorUnit):
        raise InputError(f"vector_unit: {name!r} is unknown; use {', '.join(get_args(VectorUnit))}")
    return name  # pyright: ignore[reportReturnType]


def rms_norm(rows: int, channels: int) -> int:
    """Square, accumulate, scale by the root mean square and by the gain; a root and a mean per row."""
    return rows * (4 * channels + FUNCTION_OPERATIONS + 2)


def layer_norm(rows: int, channels: int) -> int:
    """Mean, centre, square, accumulate, scale, gain, bias; a root and two means per row."""
    return rows * (7 * channels + FUNCTION_OPERATIONS + 3)


def softmax(rows: int, scores: int) -> int:
    """`scores` in all: scale, maximum, subtract, exponential, accumulate, normalise; a reciprocal per row."""
    return scores * (5 + FUNCTION_OPERATIONS) + rows * FUNCTION_OPERATIONS


def softmax_operations(unit: VectorUnit) -> tuple[int, int]:
    """Lane operations for one score and for one row."""
    if unit == "integer":
        from .integer_vector import SOFTMAX, SOFTMAX_ROW

        return SOFTMAX.total, SOFTMAX_ROW.total
    return softmax(0, 1), softmax(1, 0)


def rotation(values: int) -> int:
    """Rotary embedding: two products and a sum for each value."""
    return 3 * values


def gated_silu(values: int) -> int:
    """x * sigmoid(x) * gate: exponential, sum, reciprocal, two products."""
    return values * (2 * FUNCTION_OPERATIONS + 3)


def relu(values: int) -> int:
    """A maximum."""
    return values


def layer_work(
    shape: ModelShape, tokens: int, rows: int, scores: int, unit: VectorUnit = "fp16"
) -> tuple[VectorWork, ...]:
    """What the vector unit does in one block.

    Args:
        shape: the model.
        tokens: of all sequences of the batch.
        rows: query rows of all heads.
        scores: attention scores of all heads.
        unit: FP16 or integers.
    """
    if unit == "integer":
        from .integer_vector import integer_layer_work

        return integer_layer_work(shape, tokens, rows, scores)
    norm, hidden, ffn = layer_norm if shape.family == "opt" else rms_norm, tokens * shape.hidden, tokens * shape.ffn
    gated = shape.gated
    work = [
        _fp16("norms", 2 * norm(tokens, shape.hidden), 2 * hidden),
        _fp16("softmax", softmax(rows, scores), scores),
        _fp16("activation", gated_silu(ffn) if gated else relu(ffn), 2 * ffn if gated else ffn),
        _fp16("residuals", 2 * hidden, 2 * hidden),
    ]
    if shape.family == "llama":
        rotated = hidden + tokens * shape.kv_channels
        work.append(_fp16("rotation", rotation(rotated), rotated))
    return tuple(work)


def _fp16(name: str, operations: int, values: int) -> VectorWork:
    return VectorWork(name, {"fp16": operations}, values)

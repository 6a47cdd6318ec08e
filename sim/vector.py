"""The vector unit: norms, softmax, activation functions, rotations and residuals, counted in lane operations.

Every lane does one FP16 operation a cycle. Additions, multiplications and maxima are one operation; the exponential and
the reciprocal are `FUNCTION_OPERATIONS`, a square root counts as a reciprocal. What the unit does once per token or row
is counted too, so that short rows are not free.
"""

from dataclasses import dataclass

from ..workloads import ModelShape

FUNCTION_OPERATIONS = 4
"""Of an exponential or reciprocal: a table look-up and a polynomial of second degree. An assumption; the publication
gives only the number of lanes."""


@dataclass(frozen=True, slots=True)
class VectorWork:
    """Operations of one kind in one layer."""

    name: str
    operations: int


def rms_norm(rows: int, channels: int) -> int:
    """Square, accumulate, scale by the root mean square and by the gain; a root and a mean per row."""
    return rows * (4 * channels + FUNCTION_OPERATIONS + 2)


def layer_norm(rows: int, channels: int) -> int:
    """Mean, centre, square, accumulate, scale, gain, bias; a root and two means per row."""
    return rows * (7 * channels + FUNCTION_OPERATIONS + 3)


def softmax(rows: int, scores: int) -> int:
    """`scores` in all: scale, maximum, subtract, exponential, accumulate, normalise; a reciprocal per row."""
    return scores * (5 + FUNCTION_OPERATIONS) + rows * FUNCTION_OPERATIONS


def rotation(values: int) -> int:
    """Rotary embedding: two products and a sum for each value."""
    return 3 * values


def gated_silu(values: int) -> int:
    """x * sigmoid(x) * gate: exponential, sum, reciprocal, two products."""
    return values * (2 * FUNCTION_OPERATIONS + 3)


def relu(values: int) -> int:
    """A maximum."""
    return values


def layer_work(shape: ModelShape, tokens: int, rows: int, scores: int) -> list[VectorWork]:
    """What the vector unit does in one block.

    Args:
        shape: the model.
        tokens: of all sequences of the batch.
        rows: query rows of all heads.
        scores: attention scores of all heads.
    """
    norm = layer_norm if shape.family == "opt" else rms_norm
    work = [
        VectorWork("norms", 2 * norm(tokens, shape.hidden)),
        VectorWork("softmax", softmax(rows, scores)),
        VectorWork("activation", (gated_silu if shape.gated else relu)(tokens * shape.ffn)),
        VectorWork("residuals", 2 * tokens * shape.hidden),
    ]
    if shape.family == "llama":
        work.append(VectorWork("rotation", rotation(tokens * (shape.hidden + shape.kv_channels))))
    return work

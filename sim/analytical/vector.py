"""Work of the vector unit: norms, softmax, activation functions, rotations and residuals.

In FP16 it runs the programs of `formats.vector.programs`, as the circuit does: each pass takes one vector of all lanes in a
cycle, and each row adds the cycles of its reductions and scalars. `integer_vector` counts the same layer in integers.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache

from ...formats.vector import programs
from ...workloads import ModelShape
from ...workloads.models.shapes import Experts
from .integer_vector import SOFTMAX, SOFTMAX_ROW, integer_layer_work, integer_norm_work
from .vector_work import Scores, VectorUnit, VectorWork


@dataclass(frozen=True, slots=True)
class RowCost:
    """Cost of a program for one row."""

    passes: int
    """Passes over the row; each takes one operation a value and one cycle a vector."""
    scalars: int
    """Scalar operations of a row."""
    cycles: int
    """Cycles of a row's reductions and scalars."""
    results: int
    """Passes that write a value each."""


PROGRAMS: dict[str, Callable[[int, int], programs.VectorProgram]] = {
    "softmax": lambda channels, lanes: programs.softmax(channels, lanes=lanes),
    "largest": lambda channels, lanes: programs.largest(channels, lanes=lanes),
    "rms_norm": lambda channels, lanes: programs.rms_norm(channels, lanes=lanes),
    "layer_norm": lambda channels, lanes: programs.layer_norm(channels, lanes=lanes),
    "silu": lambda channels, lanes: programs.silu(channels, lanes=lanes),
    "gated_silu": lambda channels, lanes: programs.silu(channels, lanes=lanes, gated=True),
    "gelu": lambda channels, lanes: programs.gelu(channels, lanes=lanes),
    "gated_gelu": lambda channels, lanes: programs.gelu(channels, lanes=lanes, gated=True),
    "relu": lambda channels, lanes: programs.relu(channels, lanes=lanes),
    "gated_relu": lambda channels, lanes: programs.relu(channels, lanes=lanes, gated=True),
    "soft_cap": lambda channels, lanes: programs.soft_cap(channels, lanes=lanes),
    "residual": lambda channels, lanes: programs.residual(channels, lanes=lanes),
    "rotation": lambda channels, lanes: programs.rotation(channels, lanes=lanes),
}


@cache
def row_cost(name: str, lanes: int) -> RowCost:
    """Cost of a program for a row of any length."""
    program = PROGRAMS[name](lanes, lanes)
    results = sum(step.result is not None for step in program.steps)
    return RowCost(program.passes, len(program.steps) - program.passes, program.cycles(lanes) - program.passes, results)


def softmax_cycles(unit: VectorUnit, lanes: int, capped: bool = False) -> Callable[[Scores], int]:
    """A function that gives the cycles of the vector unit's softmax over some scores, which are capped before if asked."""
    if unit == "integer":
        return lambda part: -(-(SOFTMAX.total * part.scores + SOFTMAX_ROW.total * part.rows) // lanes)
    cost = _softmax_cost(lanes, capped)
    return lambda part: cost.passes * part.vectors + cost.cycles * part.rows


def _softmax_cost(lanes: int, capped: bool) -> RowCost:
    cost = row_cost("softmax", lanes)
    if not capped:
        return cost
    cap = row_cost("soft_cap", lanes)
    return RowCost(*(getattr(cost, field.name) + getattr(cap, field.name) for field in fields(RowCost)))


def layer_work(
    shape: ModelShape, tokens: int, scores: Scores, lanes: int, unit: VectorUnit = "fp16"
) -> tuple[VectorWork, ...]:
    """Work of the vector unit in one decoder block.

    Parameters
    ----------
    shape
        The model.
    tokens
        Tokens of all sequences of the batch.
    scores
        Attention scores of the softmax.
    lanes
        Lanes of the unit.
    unit
        FP16, or integers only.
    """
    if unit == "integer":
        return integer_layer_work(shape, tokens, scores, lanes)
    work = [
        norm_work("norms", shape, shape.block_norms * tokens, lanes, unit),
        softmax_work(scores, lanes, shape.score_cap is not None),
        _rows(
            "activation",
            f"gated_{shape.activation}" if shape.gated else shape.activation,
            tokens,
            shape.active_ffn,
            lanes,
        ),
        _rows("residuals", "residual", 2 * tokens, shape.hidden, lanes),
    ]
    heads = shape.heads + (0 if shape.shares_kv else shape.kv_heads)
    if shape.qk_norm:
        work.append(_rows("query and key norms", f"{shape.norm}_norm", heads * tokens, shape.head_dim, lanes))
    if shape.experts is not None:
        work += _expert_work(shape.experts, tokens, shape.hidden, lanes)
    if shape.rotary_channels:
        work.append(_rows("rotation", "rotation", tokens, heads * shape.rotary_channels, lanes))
    return tuple(work)


def _expert_work(experts: Experts, tokens: int, hidden: int, lanes: int) -> tuple[VectorWork, VectorWork]:
    """Routing: a softmax over the experts and a maximum for each one chosen; and the weighted sum of their outputs."""
    softmax, largest = (
        _rows("routing", name, rows, experts.count, lanes)
        for name, rows in (("softmax", tokens), ("largest", tokens * experts.per_token))
    )
    routing = VectorWork(
        "routing",
        {"fp16": softmax.total + largest.total},
        softmax.cycles + largest.cycles,
        softmax.values + largest.values,
        softmax.results + largest.results,
    )
    outputs = experts.per_token + (experts.shared_ffn > 0)
    return routing, _rows("expert sums", "residual", tokens * outputs, hidden, lanes)


def softmax_work(scores: Scores, lanes: int, capped: bool = False) -> VectorWork:
    """Work of the softmax in FP16, the only work that depends on the scores; with their cap, if they have one."""
    cost = _softmax_cost(lanes, capped)
    return VectorWork(
        "softmax",
        {"fp16": cost.passes * scores.scores + cost.scalars * scores.rows},
        cost.passes * scores.vectors + cost.cycles * scores.rows,
        cost.passes * scores.scores,
        cost.results * scores.scores,
    )


def norm_work(name: str, shape: ModelShape, rows: int, lanes: int, unit: VectorUnit = "fp16") -> VectorWork:
    """Work of a norm over some rows of hidden channels."""
    if unit == "integer":
        return integer_norm_work(name, shape, rows, lanes)
    return _rows(name, f"{shape.norm}_norm", rows, shape.hidden, lanes)


def logit_cap_work(shape: ModelShape, rows: int, lanes: int) -> VectorWork:
    """Work of the cap of the head's outputs."""
    return _rows("logit cap", "soft_cap", rows, shape.vocabulary, lanes)


def _rows(name: str, program: str, rows: int, channels: int, lanes: int) -> VectorWork:
    cost = row_cost(program, lanes)
    return VectorWork(
        name,
        {"fp16": rows * (cost.passes * channels + cost.scalars)},
        rows * (cost.passes * -(-channels // lanes) + cost.cycles),
        rows * cost.passes * channels,
        rows * cost.results * channels,
    )

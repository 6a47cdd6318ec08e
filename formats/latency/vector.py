"""Cycles of the vector unit."""

from .array import BUFFER_READ_CYCLES

VECTOR_PIPELINE_CYCLES = 5
"""Cycles from an operand vector until its results are valid; the unit takes one operand vector every cycle."""

VECTOR_SCALAR_CYCLES = 5
"""Cycles of a command that computes a scalar from scalars; the next command can read the result."""

VECTOR_LOAD_CYCLES = 1
"""Cycles of a command that puts a constant into a scalar register."""


def vector_reduction_cycles(lanes: int) -> int:
    """Cycles that a reduction takes beyond one for each vector: pipeline of the lane, fold of the lanes, register."""
    return lanes.bit_length() + 1


def vector_instruction_cycles(vectors: int, lanes: int, *, operands: int, only_right: bool, scalar: str | None) -> int:
    """Cycles from issuing a vector instruction to its end.

    Parameters
    ----------
    vectors, lanes
        Length of the row in vectors, and lanes of the unit.
    operands
        0, 1 or 2 rows of results read for each vector, one per cycle.
    only_right
        True if the one operand is the right one, which passes a register of its own.
    scalar
        Kind of scalar result: ``"constant"``, ``"function"`` or ``"reduction"``; None if the results are vectors.
    """
    if scalar == "constant":
        return VECTOR_LOAD_CYCLES
    last_taken = vectors * max(operands, 1) + BUFFER_READ_CYCLES * min(operands, 1) + only_right
    if scalar == "reduction":
        return last_taken + vector_reduction_cycles(lanes)
    return last_taken + (VECTOR_PIPELINE_CYCLES if scalar is None else VECTOR_SCALAR_CYCLES - 1)

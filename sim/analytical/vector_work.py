"""Work of the vector unit in one layer, in FP16 or in integers: operations, cycles and values."""

from dataclasses import dataclass
from typing import Literal, get_args

from ...formats.checks import check_choice

VectorUnit = Literal["fp16", "integer"]
"""Arithmetic of the lanes: FP16, or integers only as in I-LLM (arXiv 2405.17849)."""


@dataclass(frozen=True, slots=True)
class VectorWork:
    """One kind of work in one layer."""

    name: str
    operations: dict[str, int]
    """Lane operations by kind: ``fp16``, or ``add`` and ``multiply`` in integers."""
    cycles: int
    """Cycles of the unit, without the latency of its pipeline (`VECTOR_PIPELINE_CYCLES`)."""
    values: int
    """Values read through the activation buffer's port; second operands come from the array or from their own memory."""

    @property
    def total(self) -> int:
        """Operations of all kinds."""
        return sum(self.operations.values())


@dataclass(frozen=True, slots=True)
class Scores:
    """Attention scores of one layer's softmax."""

    rows: int
    """Query rows of all heads."""
    scores: int
    """Attention scores of all heads."""
    vectors: int
    """Vectors of the unit's lanes that hold the scores; each row begins a new vector."""


def check_vector_unit(name: str) -> VectorUnit:
    """Check the name of a vector unit and return it.

    Raises
    ------
    InputError
        There is none.
    """
    return check_choice("vector_unit", name, get_args(VectorUnit))

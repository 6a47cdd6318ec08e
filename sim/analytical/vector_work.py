"""Work of the vector unit in one layer, in FP16 or in integers: operations, cycles and values."""

from dataclasses import dataclass
from typing import Literal, get_args

from ...formats import InputError

VectorUnit = Literal["fp16", "integer"]
"""What the lanes compute in: FP16, or integers alone as I-LLM does (arXiv 2405.17849)."""


@dataclass(frozen=True, slots=True)
class VectorWork:
    """Operations of one kind of work in one layer."""

    name: str
    operations: dict[str, int]
    """By kind: ``fp16``; ``add`` and ``multiply`` in integers."""
    cycles: int
    """Of the unit, without the way of the last results through it (`VECTOR_PIPELINE_CYCLES`)."""
    values: int
    """Values that pass the port of the activation buffer; second operands come from the array or their own memory."""

    @property
    def total(self) -> int:
        """Operations of all kinds."""
        return sum(self.operations.values())


@dataclass(frozen=True, slots=True)
class Scores:
    """What the softmax of one layer goes over."""

    rows: int
    """Query rows of all heads."""
    scores: int
    """Attention scores of all heads."""
    vectors: int
    """Vectors of the unit's lanes that they fill, each row anew."""


def check_vector_unit(name: str) -> VectorUnit:
    """The vector unit of that name.

    Raises:
        InputError: there is none.
    """
    if name not in get_args(VectorUnit):
        raise InputError(f"vector_unit: {name!r} is unknown; use {', '.join(get_args(VectorUnit))}")
    return name  # pyright: ignore[reportReturnType]

"""Loop nest of a mapping whose operands come in parts of the reduction: its tiles in order, and what each step loads."""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

from ..mapping.gemm_mapping import Stays
from ..memory.dram import Tensor
from .strips import Span, Strips

ORDERS: dict[Stays, tuple[str, str, str]] = {
    "nothing": ("tokens", "channels", "groups"),
    "sums": ("tokens", "channels", "groups"),
    "activations": ("tokens", "groups", "channels"),
    "weights": ("channels", "groups", "tokens"),
}
"""Loops by what stays on chip, outermost first."""

OPERANDS: tuple[tuple[Tensor, str], ...] = (("activations", "tokens"), ("weights", "channels"))


class NestStep(NamedTuple):
    """A tile of activations times a tile of weights."""

    tokens: Span
    channels: Span
    groups: Span
    loads: frozenset[Tensor]
    """Operands that were not there in the step before."""
    frees: frozenset[Tensor]
    """Operands that the next step replaces."""

    def tile(self, tensor: Tensor) -> Span:
        """Tokens or output channels of an operand's tile."""
        return self.tokens if tensor == "activations" else self.channels


def nest_steps(strips: Strips) -> Iterator[NestStep]:
    """Steps of the nest, in order. Where nothing stays, each step loads both operands, even if they are the same."""
    mapped, mapping = strips.mapped, strips.mapping
    spans = {
        "tokens": Span(0, mapped.tokens).split(mapping.tokens),
        "channels": Span(0, mapped.out_channels).split(mapping.out_channels),
        "groups": strips.parts,
    }
    order = ORDERS[mapping.stays]
    steps = [dict(zip(order, step, strict=True)) for step in product(*(spans[axis] for axis in order))]
    both: frozenset[Tensor] = frozenset(("activations", "weights"))
    changes: list[frozenset[Tensor]] = [both, *(_changes(mapping.stays, *pair) for pair in pairwise(steps)), both]
    for step, loads, frees in zip(steps, changes, changes[1:], strict=False):
        yield NestStep(**step, loads=loads, frees=frees)


def _changes(stays: Stays, then: dict[str, Span], now: dict[str, Span]) -> frozenset[Tensor]:
    """Operands of which a step needs another tile than the step before."""
    return frozenset(
        tensor
        for tensor, axis in OPERANDS
        if stays == "nothing" or (now[axis], now["groups"]) != (then[axis], then["groups"])
    )

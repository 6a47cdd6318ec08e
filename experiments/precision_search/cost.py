"""Cost of a precision: bit operations, or energy or cycles on an Anda machine that is prepared once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from ...formats import InputError
from ...workloads import ModelShape, Precision, bops, gemms
from .search_space import Choice

if TYPE_CHECKING:
    from ...sim import Architecture

Objective = Literal["bops", "energy", "latency"]

FP16_BITS = 16
PREFILL_TOKENS = 2048
"""Tokens of the prefill pass of which energy or latency is minimised."""


@dataclass(frozen=True)
class Cost:
    """Cost of a model, as the sum over its layers."""

    layers: int
    layer: Callable[[Choice], float]
    """Cost of one layer."""

    def __call__(self, choice: Choice) -> float:
        """Cost of a model with the same precision in every layer."""
        return self.layers * self.layer(choice)


def prepare_cost(objective: Objective, shape: ModelShape) -> Cost:
    """Prepare the cost of a model's precisions.

    For a group size other than the machine's, the array gets elements with that many lanes, and fewer or more rows, so
    that the peak throughput stays the same.

    Parameters
    ----------
    objective : {"bops", "energy", "latency"}
        ``"bops"``: bit operations of a token. ``"energy"``: pJ, and ``"latency"``: cycles, of a pass over
        `PREFILL_TOKENS` tokens on the architecture ``anda`` at level ``analytical``; the results of a layer are
        compressed to that layer's own mantissa bits.
    shape : ModelShape
        The model.

    Raises
    ------
    InputError
        The objective is unknown.
    """
    if objective not in get_args(Objective):
        raise InputError(f"objective: {objective!r} is unknown; use {', '.join(get_args(Objective))}")
    layer = replace(shape, layers=1)
    if objective == "bops":
        return Cost(shape.layers, lambda choice: bops(layer, choice.precision))
    return Cost(shape.layers, _machine_cost(objective, layer))


def saving(shape: ModelShape, layers: Iterable[Precision]) -> float:
    """Ratio of the bit operations with FP16 activations to those with these precisions, one for each layer."""
    one = replace(shape, layers=1)
    used = [bops(one, precision) for precision in layers]
    return len(used) * bops(one, Precision.uniform(FP16_BITS)) / sum(used)


def _machine_cost(objective: Literal["energy", "latency"], layer: ModelShape) -> Callable[[Choice], float]:
    """Energy in pJ or latency in cycles of one layer; each precision and group size is simulated once."""
    from ...sim import simulate

    work = gemms(layer, tokens=PREFILL_TOKENS)
    machine = cache(_anda_with_group_size)

    @cache
    def cost(precision: Precision, group_size: int) -> float:
        result = simulate(work, machine(group_size), precision, objective=objective)
        return result.energy_pj.total if objective == "energy" else result.cycles

    return lambda choice: cost(choice.precision, choice.numerics.group_size)


def _anda_with_group_size(group_size: int) -> Architecture:
    from ...sim import load_architecture

    anda = load_architecture("anda")
    lanes = anda.array.rows * anda.group_size
    return anda.model_copy(
        update={
            "array": anda.array.model_copy(update={"rows": lanes // group_size}),
            "processing_element": anda.processing_element.model_copy(update={"lanes": group_size}),
        }
    )

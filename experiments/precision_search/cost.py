"""Cost of a precision: bit operations, or energy or cycles on an Anda machine that is prepared once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ...formats.checks import check_choice
from ...workloads import ModelShape, Precision, bops, gemms
from ...workloads.models.gemms import FP16_BITS
from .search_space import Choice

if TYPE_CHECKING:
    from ...sim import Architecture
    from ...sim.cost.objective import Objective

OBJECTIVES: tuple[Objective, ...] = ("bops", "energy", "latency")
"""Objectives of a precision search."""

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
    objective
        ``"bops"``: bit operations of a token. ``"energy"``: pJ, and ``"latency"``: cycles, of a pass over
        `PREFILL_TOKENS` tokens on the architecture ``anda`` at level ``analytical``; the results of a layer are
        compressed to that layer's own mantissa bits.
    shape
        The model.

    Raises
    ------
    InputError
        The objective is unknown.
    """
    check_choice("objective", objective, OBJECTIVES)
    layer = _one_layer(shape)
    if objective == "bops":
        return Cost(shape.layers, lambda choice: bops(layer, choice.precision))
    return Cost(shape.layers, _machine_cost(objective, layer))


def saving(shape: ModelShape, layers: Iterable[Precision]) -> float:
    """Ratio of the bit operations with FP16 activations to those with these precisions, one for each layer."""
    one = _one_layer(shape)
    used = [bops(one, precision) for precision in layers]
    return len(used) * bops(one, Precision.uniform(FP16_BITS)) / sum(used)


def _one_layer(shape: ModelShape) -> ModelShape:
    """One layer; those of a model that runs have the same GeMMs."""
    return shape.without_windows().with_layers(1)


def _machine_cost(objective: Objective, layer: ModelShape) -> Callable[[Choice], float]:
    """Energy in pJ or latency in cycles of one layer; the machine is prepared once for each group size."""
    from ...sim import load_technology
    from ...sim.cost.machine_cost import MachineCost

    work = gemms(layer, tokens=PREFILL_TOKENS)
    technology = load_technology()

    @cache
    def machine(group_size: int) -> MachineCost:
        return MachineCost(_anda_with_group_size(group_size), technology, objective)

    def cost(choice: Choice) -> float:
        total = machine(choice.numerics.group_size).total(work, choice.precision)
        return total.energy_pj.total if objective == "energy" else total.cycles

    return cost


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

"""Mantissa bits for each layer: from the measured sensitivities around a precision, bits go where they are cheapest.

Every module of every layer is measured alone, one bit below and one bit above the precision of the whole model. From
one bit above everywhere, the moves of one bit less are ordered by the loss that they add per cost that they save
(greedy, the lower convex hull of each module; Shoham and Gersho, IEEE TASSP 1988). The sums of single losses only order
the moves: what a combination loses is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...formats import InputError
from ...workloads import (
    MODULES,
    AndaActivations,
    Decoder,
    LayeredActivations,
    Precision,
    PrefixCache,
    TextBlocks,
    TorchDecoder,
    evaluate,
)
from ...workloads.models.precision import MAX_MANTISSA_BITS, MIN_MANTISSA_BITS
from .search_space import Choice, Cost, Numerics

Layers = tuple[Precision, ...]
"""The precision of each layer."""

Move = tuple[int, str, int]
"""Layer, module and mantissa bits."""

Sensitivities = Mapping[Move, float]
"""Mean NLL in nats, over that of the base precision, when one module of one layer has these bits."""


def measure_sensitivities(
    decoder: Decoder | TorchDecoder,
    blocks: TextBlocks,
    base: Precision,
    numerics: Numerics,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Move, float]:
    """Change each module of each layer alone by a bit up and down; layers before the changed one are not run again.

    Raises:
        InputError: the sums of the numerics are not ``"float"``: the bit-exact GeMM works on all layers or none.
    """
    hook = _hook(base, numerics)
    cache = PrefixCache(decoder, hook, blocks=len(blocks.tokens))
    reference = evaluate(cache, blocks, hook, cache_dir).mean()
    moves = list(_moves(decoder.shape.layers, base))
    found: dict[Move, float] = {}
    for done, (layer, module, bits) in enumerate(moves, start=1):
        own = LayeredActivations(hook, {layer: _hook(base._replace(**{module: bits}), numerics)})
        found[layer, module, bits] = float(evaluate(cache, blocks, own, cache_dir).mean() - reference)
        if progress:
            progress(done, len(moves))
    return found


def _moves(layers: int, base: Precision) -> Iterator[Move]:
    for layer in range(layers):
        for module, bits in zip(MODULES, base, strict=True):
            for own in (bits - 1, bits + 1):
                if MIN_MANTISSA_BITS <= own <= MAX_MANTISSA_BITS:
                    yield layer, module, own


@dataclass(frozen=True)
class Allocation:
    """A precision for each layer."""

    layers: Layers
    cost: float
    predicted_nll: float
    """Sum of the single sensitivities, in nats over the base precision."""


def layered_activations(layers: Layers, numerics: Numerics) -> LayeredActivations:
    """What an evaluation does to the GeMMs of each layer."""
    hooks = [_hook(precision, numerics) for precision in layers]
    return LayeredActivations(hooks[0], dict(enumerate(hooks)))


def _hook(precision: Precision, numerics: Numerics) -> AndaActivations:
    hook = numerics.activations(precision)
    if not isinstance(hook, AndaActivations):
        raise InputError(f"partial: {numerics.partial!r} is for all layers alike; search layers with float sums")
    return hook


def allocations(base: Precision, sensitivities: Sensitivities, cost: Cost, numerics: Numerics) -> list[Allocation]:
    """From one bit above `base` everywhere to one bit below, a move at a time, each the cheapest in loss per cost."""
    layers = [_raised(base)] * cost.shape.layers
    chain = [_allocation(layers, base, sensitivities, cost, numerics)]
    while moves := list(_narrower(layers, base, sensitivities, cost, numerics)):
        _, layer, precision = min(moves)
        layers[layer] = precision
        chain.append(_allocation(layers, base, sensitivities, cost, numerics))
    return chain


def spread(chain: Sequence[Allocation], count: int) -> list[Allocation]:
    """At most `count` allocations, evenly spaced in cost, the ends included; the cheapest first."""
    costs = np.array([allocation.cost for allocation in chain])
    wanted = np.linspace(costs.min(), costs.max(), count)
    chosen = {int(np.abs(costs - own).argmin()) for own in wanted}
    return sorted((chain[index] for index in chosen), key=lambda allocation: allocation.cost)


def _raised(base: Precision) -> Precision:
    return Precision(*(min(bits + 1, MAX_MANTISSA_BITS) for bits in base))


def _allocation(
    layers: Sequence[Precision], base: Precision, sensitivities: Sensitivities, cost: Cost, numerics: Numerics
) -> Allocation:
    nll = sum(
        _nll(layer, module, bits, base, sensitivities)
        for layer, precision in enumerate(layers)
        for module, bits in precision._asdict().items()
    )
    return Allocation(tuple(layers), sum(cost.layer(Choice(precision, numerics)) for precision in layers), nll)


def _narrower(
    layers: Sequence[Precision], base: Precision, sensitivities: Sensitivities, cost: Cost, numerics: Numerics
) -> Iterator[tuple[float, int, Precision]]:
    """Each possible move of one bit less: the loss that it adds per saved cost, the layer, its new precision."""
    for layer, now in enumerate(layers):
        own_cost = cost.layer(Choice(now, numerics))
        for module, bits in now._asdict().items():
            if bits - 1 < max(getattr(base, module) - 1, MIN_MANTISSA_BITS):
                continue
            precision = now._replace(**{module: bits - 1})
            added = _nll(layer, module, bits - 1, base, sensitivities) - _nll(layer, module, bits, base, sensitivities)
            saved = own_cost - cost.layer(Choice(precision, numerics))
            # a move can save nothing, where the memory's bandwidth decides: it is then the last to be made
            yield (added / saved if saved > 0 else float("inf")), layer, precision


def _nll(layer: int, module: str, bits: int, base: Precision, sensitivities: Sensitivities) -> float:
    return 0.0 if bits == getattr(base, module) else sensitivities[layer, module, bits]

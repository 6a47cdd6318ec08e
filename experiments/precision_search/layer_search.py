"""Mantissa bits for each layer: from measured sensitivities around a precision, each bit goes where it helps most.

Every module of every layer is measured alone, one bit below and one bit above the precision of the whole model. From
one bit above everywhere, moves of one bit less are taken greedily: always the one that adds the least loss per cost
that it saves. (The chain is the lower convex hull only where no module's second bit is cheaper than its first; compare
Shoham and Gersho, IEEE TASSP 1988.) The sum of single losses only orders
the moves: the loss of a combination is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...formats import InputError
from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ...workloads import (
    MODULES,
    AndaActivations,
    Decoder,
    LayeredActivations,
    Precision,
    PrefixCache,
    ScoredModel,
    TextBlocks,
    TorchDecoder,
    evaluate,
)
from ...workloads.models.precision import MIN_MANTISSA_BITS
from .search_space import Numerics

Layers = tuple[Precision, ...]
"""Precision of each layer."""

Move = tuple[int, str, int]
"""Layer, module and mantissa bits."""

Sensitivities = Mapping[Move, float]
"""Mean NLL in nats, minus that of the base precision, when one module of one layer has these bits."""


def measure_sensitivities(
    decoder: ScoredModel,
    blocks: TextBlocks,
    base: Precision,
    numerics: Numerics,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Move, float]:
    """Change each module of each layer alone by one bit up and down; layers before the changed one are not run again,
    but by transformers.

    Parameters
    ----------
    decoder
        The model.
    blocks
        Blocks on which the NLL is measured.
    base
        Precision of all layers but the changed one.
    numerics
        Numerics of all layers; their sums must be ``"float"``.
    cache_dir
        Folder that keeps the evaluations.
    progress
        Called after each change with the number of changes measured, and of all changes.

    Raises
    ------
    InputError
        The sums of the numerics are not ``"float"``: the bit-exact GeMM runs in all layers or in none.
    """
    hook = _hook(base, numerics)
    prefixed = isinstance(decoder, Decoder | TorchDecoder)
    cache = PrefixCache(decoder, hook, blocks=len(blocks.tokens)) if prefixed else decoder
    reference = evaluate(cache, blocks, hook, cache_dir).mean()
    moves = list(_moves(decoder.shape.layers, base))
    found: dict[Move, float] = {}
    for done, (layer, module, bits) in enumerate(moves, start=1):
        own = LayeredActivations(hook, {layer: _hook(base._replace(**{module: bits}), numerics)})
        found[layer, module, bits] = float(evaluate(cache, blocks, own, cache_dir).mean() - reference)
        if progress:
            progress(done, len(moves))
    return found


def layered_activations(layers: Layers, numerics: Numerics) -> LayeredActivations:
    """Activation hook that evaluates a model with its own precision in each layer."""
    hooks = [_hook(precision, numerics) for precision in layers]
    return LayeredActivations(hooks[0], dict(enumerate(hooks)))


@dataclass(frozen=True)
class Allocation:
    """A precision for each layer."""

    layers: Layers
    cost: float
    """Sum of the layers' costs."""
    predicted_nll: float
    """Sum of the single sensitivities, in nats above the base precision."""


@dataclass(frozen=True)
class GreedyAllocator:
    """Moves of one bit less, each the one that adds the least loss per saved cost.

    Parameters
    ----------
    base
        Precision of the whole model.
    sensitivities
        Measured around `base`.
    layers
        Layers of the model.
    layer_cost
        Cost of one layer at a precision.
    """

    base: Precision
    sensitivities: Sensitivities
    layers: int
    layer_cost: Callable[[Precision], float]

    def allocations(self) -> list[Allocation]:
        """Allocations from one bit above the base in every module down to one bit below, one move after the other."""
        layers = [Precision(*(min(bits + 1, MAX_MANTISSA_BITS) for bits in self.base))] * self.layers
        chain = [self._allocation(layers)]
        while moves := list(self._moves(layers)):
            _, layer, precision = min(moves)
            layers[layer] = precision
            chain.append(self._allocation(layers))
        return chain

    def _allocation(self, layers: Sequence[Precision]) -> Allocation:
        nll = sum(
            self._nll(layer, module, bits)
            for layer, precision in enumerate(layers)
            for module, bits in precision._asdict().items()
        )
        return Allocation(tuple(layers), sum(self.layer_cost(precision) for precision in layers), nll)

    def _moves(self, layers: Sequence[Precision]) -> Iterator[tuple[float, int, Precision]]:
        """Added loss per saved cost, layer and new precision of each possible move."""
        for layer, now in enumerate(layers):
            cost = self.layer_cost(now)
            for module, bits in now._asdict().items():
                if bits - 1 < max(getattr(self.base, module) - 1, MIN_MANTISSA_BITS):
                    continue
                precision = now._replace(**{module: bits - 1})
                added = self._nll(layer, module, bits - 1) - self._nll(layer, module, bits)
                saved = cost - self.layer_cost(precision)
                # a move saves nothing where the memory's bandwidth is the limit: such moves come last
                yield (added / saved if saved > 0 else float("inf")), layer, precision

    def _nll(self, layer: int, module: str, bits: int) -> float:
        return 0.0 if bits == getattr(self.base, module) else self.sensitivities[layer, module, bits]


def spread(chain: Sequence[Allocation], count: int) -> list[Allocation]:
    """At most `count` allocations, evenly spaced in cost, with the first and the last; the cheapest first."""
    costs = np.array([allocation.cost for allocation in chain])
    wanted = np.linspace(costs.min(), costs.max(), count)
    chosen = {int(np.abs(costs - own).argmin()) for own in wanted}
    return sorted((chain[index] for index in chosen), key=lambda allocation: allocation.cost)


def _moves(layers: int, base: Precision) -> Iterator[Move]:
    for layer in range(layers):
        for module, bits in zip(MODULES, base, strict=True):
            for own in (bits - 1, bits + 1):
                if MIN_MANTISSA_BITS <= own <= MAX_MANTISSA_BITS:
                    yield layer, module, own


def _hook(precision: Precision, numerics: Numerics) -> AndaActivations:
    hook = numerics.activations(precision)
    if not isinstance(hook, AndaActivations):
        raise InputError(f"partial: {numerics.partial!r} works in all layers alike; search layers with float sums")
    return hook

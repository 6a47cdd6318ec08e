"""Statistics for weight quantisers: Hessians of the layers' inputs, Fisher information of their weights."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from ...formats.weights.column_loop import HessianAccumulator
from ..inference.decoder import Decoder
from ..models.parameters import FloatArray
from ..text.blocks import TextBlocks
from .backward import backward

Progress = Callable[[int, int], None]
"""Called with the number of finished blocks and the number of all blocks."""

Hessians = dict[tuple[int, str], NDArray[np.float64]]
"""Hessians ``[in, in]`` by layer and module."""

Fisher = dict[tuple[int, str], NDArray[np.float32]]
"""Fisher information ``[in, out]`` by layer and name of the linear layer."""


def hessians(
    decoder: Decoder,
    blocks: TextBlocks,
    sink_weight: float = 1,
    sink_modules: Collection[str] = ("qkv",),
    progress: Progress | None = None,
) -> Hessians:
    """Hessians ``H = (2 / N) sum x x^T`` of the inputs of each module's GeMMs, for all layers in one pass.

    Parameters
    ----------
    decoder
        The model; no layer is quantised before the others are measured.
    blocks
        Calibration text.
    sink_weight
        Weight of the first token of each block in `sink_modules`. Most attention goes to that token, so its keys
        matter more than those of another token.
    sink_modules
        Modules in which `sink_weight` counts: some of qkv, o, u and d.
    progress
        Called after each block.
    """
    accumulators: dict[tuple[int, str], HessianAccumulator] = {}

    def accumulate(module: str, layer: int, x: FloatArray) -> FloatArray:
        key = layer, module
        if key not in accumulators:
            accumulators[key] = HessianAccumulator(x.shape[1])
        weights = np.ones(len(x))
        weights[0] = sink_weight if module in sink_modules else 1
        accumulators[key].add(x, weights)
        return x

    for done, tokens in enumerate(blocks.tokens, start=1):
        decoder.hidden(tokens, accumulate)
        if progress:
            progress(done, len(blocks.tokens))
    return {key: accumulator.hessian for key, accumulator in accumulators.items()}


def fisher_information(decoder: Decoder, blocks: TextBlocks, progress: Progress | None = None) -> Fisher:
    """Diagonal Fisher information: mean over the blocks of the squared gradient of a block's loss.

    Gradients are squared once per block, like SqueezeLLM's per calibration sequence (arXiv 2306.07629, section 4.1).
    """
    total: Fisher = {}

    def add_square(layer: int, name: str, gradient: FloatArray) -> None:
        np.square(gradient, out=gradient)
        if (layer, name) in total:
            total[layer, name] += gradient
        else:
            total[layer, name] = gradient

    for done, tokens in enumerate(blocks.tokens, start=1):
        backward(decoder, tokens, add_square)
        if progress:
            progress(done, len(blocks.tokens))
    for information in total.values():
        information /= np.float32(len(blocks.tokens))
    return total

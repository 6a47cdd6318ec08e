"""Blocks of a LLaMA decoder as arrays, smoothed for low-bit activations (start values of I-LLM's FSBR)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.integer_only.smoothing import BlockWeights, HeadLayout, analytic_llama_factors, smooth_llama_block
from ..inference.decoder import Decoder
from ..models.parameters import DecoderWeights, FloatArray


class ActivationMaxima:
    """Activation hook that records the largest magnitude of each input channel of each module."""

    def __init__(self) -> None:
        self.by_layer: dict[int, dict[str, FloatArray]] = {}
        """Largest magnitudes by layer and module: float32 ``[channels]``."""

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Record the largest magnitudes of `x`, and return `x` unchanged."""
        modules = self.by_layer.setdefault(layer, {})
        largest = np.abs(x).max(axis=0)
        modules[module] = np.maximum(modules[module], largest) if module in modules else largest
        return x


def float_blocks(weights: DecoderWeights) -> list[BlockWeights]:
    """Return the blocks of a LLaMA model as float32 arrays, with the names of `formats.integer_only.smoothing`.

    Raises
    ------
    InputError
        The model is not of the LLaMA architecture, or has biases.
    """
    shape = weights.shape
    if not shape.gated or weights.rope_theta is None:
        raise InputError(f"model: {shape.name} is not of the LLaMA architecture; use one that is")
    if weights.rope_scaling is not None:
        raise InputError(f"model: {shape.name} scales its rotary embedding; use a LLaMA model that does not")
    weights.require_plain("integer-only models")
    blocks: list[BlockWeights] = []
    for layer in weights.layers:
        if any(linear.bias is not None for linear in layer.linears.values()):
            raise InputError(f"model: {shape.name} has biases in its linear layers; use a LLaMA model without")
        block: BlockWeights = {name: linear.weights.dequantize() for name, linear in layer.linears.items()}
        block["input_norm"], block["post_norm"] = layer.attention_norm.gain, layer.ffn_norm.gain
        blocks.append(block)
    return blocks


def smoothed_blocks(decoder: Decoder, calibration: NDArray[np.int32], alpha: float = 0.5) -> list[BlockWeights]:
    """Fold analytic factors into the decoder's blocks (FSBR); return the folded blocks.

    The serial pairs get the factors of SmoothQuant's formula. The factors of query against key and of gate against up stay
    at 1, from which FSBR starts to learn them.

    Parameters
    ----------
    decoder
        A LLaMA model.
    calibration
        Text that gives the maxima of the activations, int32 ``[blocks, tokens]``.
    alpha
        Share of the activations' range that moves into the weights, 0 to 1.
    """
    plain = float_blocks(decoder.weights)
    maxima = ActivationMaxima()
    for tokens in calibration:
        decoder.hidden(tokens, maxima)
    layout = HeadLayout(decoder.shape.heads, decoder.shape.kv_heads)
    blocks: list[BlockWeights] = []
    for layer, block in enumerate(plain):
        factors = analytic_llama_factors(block, maxima.by_layer[layer], layout, alpha)
        blocks.append(smooth_llama_block(block, factors, layout))
    return blocks

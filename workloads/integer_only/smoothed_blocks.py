"""A LLaMA decoder's blocks as plain arrays, smoothed for low-bit activations (I-LLM's FSBR at its analytic start)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.integer_only.smoothing import BlockWeights, HeadLayout, analytic_llama_factors, smooth_llama_block
from ..inference.decoder import Decoder
from ..models.parameters import DecoderWeights, FloatArray


class ActivationMaxima:
    """An activation hook that keeps the largest magnitude of each channel of each module's inputs."""

    def __init__(self) -> None:
        self.by_layer: dict[int, dict[str, FloatArray]] = {}
        """By layer, then by module: float32 [channels]."""

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """See `ActivationHook`; `x` passes unchanged."""
        modules = self.by_layer.setdefault(layer, {})
        largest = np.abs(x).max(axis=0)
        modules[module] = np.maximum(modules[module], largest) if module in modules else largest
        return x


def float_blocks(weights: DecoderWeights) -> list[BlockWeights]:
    """The blocks of a LLaMA model as float32 arrays, named as in `formats.integer.smoothing`.

    Raises
    ------
    InputError
        The model is not of the LLaMA architecture, or has biases.
    """
    shape = weights.shape
    if shape.family != "llama" or weights.rope_theta is None:
        raise InputError(f"model: {shape.name} is not of the LLaMA architecture; use one that is")
    if weights.rope_scaling is not None:
        raise InputError(f"model: {shape.name} scales its rotary embedding; use a LLaMA model that does not")
    blocks: list[BlockWeights] = []
    for layer in weights.layers:
        if any(linear.bias is not None for linear in layer.linears.values()):
            raise InputError(f"model: {shape.name} has biases in its linear layers; use a LLaMA model without")
        block: BlockWeights = {name: linear.weights.dequantize() for name, linear in layer.linears.items()}
        block["input_norm"], block["post_norm"] = layer.attention_norm.gain, layer.ffn_norm.gain
        blocks.append(block)
    return blocks


def smoothed_blocks(decoder: Decoder, calibration: NDArray[np.int32], alpha: float = 0.5) -> list[BlockWeights]:
    """The decoder's blocks after FSBR's folds with analytic factors.

    The serial pairs get SmoothQuant's formula; query against key and gate against up, which FSBR starts at 1 and learns,
    stay as they are.

    Parameters
    ----------
    decoder
        A LLaMA model.
    calibration
        int32 ``[blocks, tokens]``, whose activations' maxima are taken.
    alpha
        How much of the activations' range moves into the weights, 0..1.
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

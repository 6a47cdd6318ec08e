"""Backward pass of a decoder: gradients of a sequence's loss with respect to the linear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..inference import operators
from ..inference.decoder import Decoder
from ..models.parameters import MODULE_LINEARS, DecoderWeights, FloatArray, LayerWeights, Norm
from . import pullbacks
from .pullbacks import Pullback

TakeGradient = Callable[[int, str, FloatArray], None]
"""Receives ``(layer, name, gradient)``: a name of `Decoder.linear` and a float32 gradient ``[in, out]``."""


def backward(decoder: Decoder, tokens: NDArray[np.int32], take: TakeGradient) -> float:
    """Return the loss of one sequence (mean NLL in nats); `take` gets the gradient of each linear layer's weights.

    The forward pass keeps only the residual stream; each block runs again in the backward pass. `take` gets the gradients
    of the last layer first.

    Parameters
    ----------
    decoder
        The model; its activations are not rounded.
    tokens
        One sequence, int32 ``[tokens]``, at least 2.
    take
        Called with layer, name and gradient, float32 ``[in, out]``.

    Raises
    ------
    InputError
        There are fewer than two tokens.
    """
    if tokens.ndim != 1 or len(tokens) < 2:
        raise InputError(f"tokens: have shape {list(tokens.shape)}; give one sequence of 2 or more")
    model = decoder.weights
    model.require_plain("gradients")
    x = model.embed(tokens[:-1])
    streams: list[FloatArray] = []
    for layer in range(model.shape.layers):
        streams.append(x)
        x = _Block(model, layer).forward(x)[0]
    final, pull_final = _normalise(x, model.final_norm, model.norm_epsilon)
    head = model.embedding if model.head is None else model.head
    loss, gradient = pullbacks.mean_nll(final, head, tokens[1:])
    gradient = pull_final(gradient)
    for layer in reversed(range(model.shape.layers)):
        pullback = _Block(model, layer).forward(streams.pop())[1]
        gradient = pullback(gradient, lambda name, own, layer=layer: take(layer, name, own))
    return loss


BlockPullback = Callable[[FloatArray, Callable[[str, FloatArray], None]], FloatArray]


class _Gemm(NamedTuple):
    """Linear layers of a module, side by side."""

    names: tuple[str, ...]
    matrix: FloatArray
    bias: FloatArray | None
    splits: list[int]
    """Output channels at which the next linear layer starts."""


class _Block:
    """One transformer block with its weights as float32 matrices, which exist only during a pass."""

    def __init__(self, model: DecoderWeights, layer: int) -> None:
        self._model, self._layer = model, model.layers[layer]

    def forward(self, x: FloatArray) -> tuple[FloatArray, BlockPullback]:
        """Return the residual stream ``[tokens, hidden]`` after this block, and the pullback of the block."""
        shape, epsilon = self._model.shape, self._model.norm_epsilon
        qkv, o, u, d = (_side_by_side(self._layer, module) for module in MODULE_LINEARS)
        x_qkv, pull_attention_norm = _normalise(x, self._layer.attention_norm, epsilon)
        x_o, pull_attention = self._attention(_multiply(x_qkv, qkv))
        middle = x + _multiply(x_o, o)
        x_u, pull_ffn_norm = _normalise(middle, self._layer.ffn_norm, epsilon)
        x_d, pull_activation = (pullbacks.swiglu if shape.gated else pullbacks.relu)(_multiply(x_u, u))

        def pullback(gradient: FloatArray, take: Callable[[str, FloatArray], None]) -> FloatArray:
            d_u = pull_activation(_pull_gemm(gradient, x_d, d, take))
            gradient = gradient + pull_ffn_norm(_pull_gemm(d_u, x_u, u, take))
            d_qkv = pull_attention(_pull_gemm(gradient, x_o, o, take))
            return gradient + pull_attention_norm(_pull_gemm(d_qkv, x_qkv, qkv, take))

        return middle + _multiply(x_d, d), pullback

    def _attention(self, qkv: FloatArray) -> tuple[FloatArray, Pullback]:
        shape = self._model.shape
        heads = qkv.reshape(len(qkv), shape.heads + 2 * shape.kv_heads, shape.head_dim)
        turned, values = np.split(heads, [shape.heads + shape.kv_heads], axis=1)
        turn_back: Pullback = lambda gradient: gradient  # noqa: E731
        if self._model.rope_theta is not None:
            table = operators.rope_table(len(qkv), shape.head_dim, self._model.rope_theta, self._model.rope_scaling)
            turned, turn_back = pullbacks.rotate(turned, table)
        queries, keys = np.split(turned, [shape.heads], axis=1)
        context, pull = pullbacks.causal_attention(queries, keys, values)

        def pullback(gradient: FloatArray) -> FloatArray:
            d_queries, d_keys, d_values = pull(gradient)
            d_turned = turn_back(np.concatenate([d_queries, d_keys], axis=1))
            return np.concatenate([d_turned, d_values], axis=1).reshape(qkv.shape)

        return context, pullback


def _normalise(x: FloatArray, norm: Norm, epsilon: float) -> tuple[FloatArray, Pullback]:
    if norm.bias is None:
        return pullbacks.rms_norm(x, norm.gain, epsilon)
    return pullbacks.layer_norm(x, norm.gain, norm.bias, epsilon)


def _side_by_side(layer: LayerWeights, module: str) -> _Gemm:
    names = tuple(name for name in MODULE_LINEARS[module] if name in layer.linears)
    matrices = [layer.linears[name].weights.dequantize() for name in names]
    biases = [bias for name in names if (bias := layer.linears[name].bias) is not None]
    splits = np.cumsum([matrix.shape[1] for matrix in matrices])[:-1].tolist()
    return _Gemm(names, np.concatenate(matrices, axis=1), np.concatenate(biases) if biases else None, splits)


def _multiply(x: FloatArray, gemm: _Gemm) -> FloatArray:
    out = x @ gemm.matrix
    return out if gemm.bias is None else out + gemm.bias


def _pull_gemm(gradient: FloatArray, x: FloatArray, gemm: _Gemm, take: Callable[[str, FloatArray], None]) -> FloatArray:
    """Return the gradient of the GeMM's input ``[tokens, in]``; `take` gets those of its weights."""
    for name, own in zip(gemm.names, np.split(x.T @ gradient, gemm.splits, axis=1), strict=True):
        take(name, own)
    return gradient @ gemm.matrix.T

"""Operators of a decoder with their derivatives.

Each function returns its value and its pullback (vector-Jacobian product): a function from the gradient of the loss with
respect to the value to the gradients with respect to the arguments. The values equal those of
`anda_codesign.workloads.inference.operators`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..inference import operators
from ..models.parameters import FloatArray

Pullback = Callable[[FloatArray], FloatArray]


def rms_norm(x: FloatArray, gain: FloatArray, epsilon: float) -> tuple[FloatArray, Pullback]:
    """RMSNorm of ``[tokens, channels]``; the pullback gives the gradient of `x`."""
    mean_square = np.einsum("tc,tc->t", x, x) / np.float32(x.shape[1])
    inverse = (1 / np.sqrt(mean_square + np.float32(epsilon)))[:, None]

    def pullback(gradient: FloatArray) -> FloatArray:
        scaled = gradient * gain
        projection = np.einsum("tc,tc->t", scaled, x)[:, None] / np.float32(x.shape[1])
        return inverse * scaled - inverse**3 * projection * x

    return x * inverse * gain, pullback


def layer_norm(x: FloatArray, gain: FloatArray, bias: FloatArray, epsilon: float) -> tuple[FloatArray, Pullback]:
    """LayerNorm of ``[tokens, channels]``; the pullback gives the gradient of `x`."""
    out, pull_rms = rms_norm(x - x.mean(axis=1, keepdims=True), gain, epsilon)

    def pullback(gradient: FloatArray) -> FloatArray:
        centred = pull_rms(gradient)
        return centred - centred.mean(axis=1, keepdims=True)

    return out + bias, pullback


def swiglu(gate_up: FloatArray) -> tuple[FloatArray, Pullback]:
    """SwiGLU of ``[tokens, 2 * ffn]``; the pullback gives the gradient of `gate_up`."""
    gate, up = np.split(gate_up, 2, axis=1)
    with np.errstate(over="ignore"):
        sigmoid = np.reciprocal(np.exp(-gate) + np.float32(1))
    silu = gate * sigmoid

    def pullback(gradient: FloatArray) -> FloatArray:
        slope = sigmoid + silu * (np.float32(1) - sigmoid)
        return np.concatenate([gradient * up * slope, gradient * silu], axis=1)

    return silu * up, pullback


def relu(x: FloatArray) -> tuple[FloatArray, Pullback]:
    """ReLU, not in place; the slope at 0 is 0."""
    return np.maximum(x, 0), lambda gradient: np.where(x > 0, gradient, np.float32(0))


def rotate(x: FloatArray, table: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, Pullback]:
    """Rotary position embedding; the pullback rotates back."""
    cosine, sine = table
    return operators.rotate(x, table), lambda gradient: operators.rotate(gradient, (cosine, -sine))


def causal_attention(
    queries: FloatArray, keys: FloatArray, values: FloatArray
) -> tuple[FloatArray, Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]]:
    """Causal attention; the pullback gives the gradients of queries, keys and values."""
    tokens, heads, head_dim = queries.shape
    kv_heads = keys.shape[1]
    scale = np.float32(head_dim**-0.5)
    # [tokens, heads, head_dim] -> [kv_heads, heads / kv_heads, tokens, head_dim]
    grouped = queries.reshape(tokens, kv_heads, -1, head_dim).transpose(1, 2, 0, 3)
    shared_keys, shared_values = keys.transpose(1, 0, 2)[:, None], values.transpose(1, 0, 2)[:, None]
    weights = np.multiply(grouped @ shared_keys.swapaxes(-1, -2), scale, dtype=np.float32)
    weights += np.triu(np.full((tokens, tokens), -np.inf, np.float32), k=1)
    operators.softmax(weights)

    def pullback(gradient: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        context = gradient.reshape(tokens, kv_heads, -1, head_dim).transpose(1, 2, 0, 3)
        d_weights = context @ shared_values.swapaxes(-1, -2)
        d_scores = weights * (d_weights - np.einsum("...k,...k->...", d_weights, weights)[..., None])
        d_scores *= scale
        d_queries = d_scores @ shared_keys
        d_keys = (d_scores.swapaxes(-1, -2) @ grouped).sum(axis=1)
        d_values = (weights.swapaxes(-1, -2) @ context).sum(axis=1)
        ungrouped = d_queries.transpose(2, 0, 1, 3).reshape(tokens, heads, head_dim)
        return ungrouped, d_keys.transpose(1, 0, 2), d_values.transpose(1, 0, 2)

    context = (weights @ shared_values).transpose(2, 0, 1, 3)
    return context.reshape(tokens, heads * head_dim), pullback


def mean_nll(hidden: FloatArray, head: FloatArray, targets: NDArray[np.integer]) -> tuple[float, FloatArray]:
    """Mean negative log-likelihood of the targets in nats, and its gradient ``[tokens, hidden]``.

    Parameters
    ----------
    hidden
        Normalised residual stream, ``[tokens, hidden]``.
    head
        Head matrix, ``[vocabulary, hidden]``.
    targets
        The token that follows each token, ``[tokens]``.
    """
    gradient = np.empty_like(hidden)
    total = 0.0
    for start in range(0, len(hidden), operators.HEAD_TILE):
        rows = slice(start, start + operators.HEAD_TILE)
        probabilities = hidden[rows] @ head.T
        operators.softmax(probabilities)
        at_target = np.take_along_axis(probabilities, targets[rows, None], axis=1)
        total -= float(np.log(at_target.astype(np.float64)).sum())
        np.put_along_axis(probabilities, targets[rows, None], at_target - 1, axis=1)
        gradient[rows] = probabilities @ head
    gradient /= np.float32(len(hidden))
    return total / len(hidden), gradient

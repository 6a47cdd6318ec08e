"""Operators of a decoder in float32 NumPy, written to move little memory.

`tokens` counts the rows of a single sequence; the first row is at position 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..models.parameters import FloatArray
from ..models.rope import RopeScaling, rope_frequencies

QUERY_TILE = 128
"""Queries per tile of causal attention. A tile skips the keys after its last query."""
HEAD_TILE = 128
"""Tokens per tile of the language-model head. With a vocabulary of 49152, a tile of logits takes 25 MB."""


def to_fp16(x: FloatArray) -> FloatArray:
    """Round to FP16, to nearest even, as float32; magnitudes from 65520 become infinite."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


def rms_norm(x: FloatArray, gain: FloatArray, epsilon: float) -> FloatArray:
    """Divide each row of ``[tokens, channels]`` by its root mean square, times `gain` ``[channels]``."""
    mean_square = np.einsum("tc,tc->t", x, x) / np.float32(x.shape[1])
    out = x * (1 / np.sqrt(mean_square + np.float32(epsilon)))[:, None]
    out *= gain
    return out


def layer_norm(x: FloatArray, gain: FloatArray, bias: FloatArray, epsilon: float) -> FloatArray:
    """Normalise each row of ``[tokens, channels]`` to mean 0 and variance 1, times `gain` plus `bias` ``[channels]``."""
    centred = x - x.mean(axis=1, keepdims=True)
    out = rms_norm(centred, gain, epsilon)
    out += bias
    return out


def swiglu(gate_up: FloatArray) -> FloatArray:
    """Return ``silu(gate) * up`` ``[tokens, ffn]``; gate and up are the halves of ``[tokens, 2 * ffn]``."""
    gate, up = np.split(gate_up, 2, axis=1)
    out = np.negative(gate)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    np.divide(gate, out, out=out)
    out *= up
    return out


def gelu_glu(gate_up: FloatArray) -> FloatArray:
    """Return ``gelu(gate) * up`` ``[tokens, ffn]``, GELU by its tanh form; gate and up are the halves of `gate_up`."""
    gate, up = np.split(gate_up, 2, axis=1)
    inner = gate * np.float32((2 / np.pi) ** 0.5) * (1 + np.float32(0.044715) * gate * gate)
    return np.float32(0.5) * gate * (1 + np.tanh(inner)) * up


def relu(x: FloatArray) -> FloatArray:
    """Replace `x` with ``max(x, 0)``, in place."""
    return np.maximum(x, 0, out=x)


def rope_table(
    tokens: int, head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return cosines and sines of the rotary position embedding, each ``[tokens, 1, head_dim / 2]``."""
    if scaling is None:
        frequencies, factor = rope_frequencies(theta, head_dim), 1.0
    else:
        frequencies, factor = scaling.frequencies(theta, head_dim, tokens), scaling.attention_factor
    angles = np.arange(tokens, dtype=np.float32)[:, None, None] * frequencies
    cosine, sine = np.cos(angles), np.sin(angles)
    return (cosine, sine) if factor == 1 else (cosine * np.float32(factor), sine * np.float32(factor))


def rotate(x: FloatArray, table: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Apply the rotary position embedding to ``[tokens, heads, head_dim]``; channel i pairs with i + head_dim / 2."""
    cosine, sine = table
    first, second = np.split(x, 2, axis=-1)
    out = np.empty_like(x)
    out[..., : x.shape[-1] // 2] = first * cosine - second * sine
    out[..., x.shape[-1] // 2 :] = second * cosine + first * sine
    return out


def causal_attention(
    queries: FloatArray,
    keys: FloatArray,
    values: FloatArray,
    window: int | None = None,
    scale: float | None = None,
) -> FloatArray:
    """Scaled dot-product attention of each token to itself and to the tokens before it.

    Parameters
    ----------
    queries
        ``[tokens, heads, head_dim]``.
    keys
        ``[tokens, kv_heads, head_dim]``; consecutive query heads share one key/value head.
    values
        ``[tokens, kv_heads, head_dim]``.
    window
        Number of tokens, its own among them, that a token attends to; None attends to all.
    scale
        Factor of the scores; None takes ``1 / sqrt(head_dim)``.

    Returns
    -------
    FloatArray
        ``[tokens, heads * head_dim]``.
    """
    tokens, heads, head_dim = queries.shape
    kv_heads = keys.shape[1]
    grouped = queries.reshape(tokens, kv_heads, heads // kv_heads, head_dim).transpose(1, 2, 0, 3)
    grouped = np.multiply(grouped, head_dim**-0.5 if scale is None else scale, dtype=np.float32)
    keys = np.ascontiguousarray(keys.transpose(1, 2, 0))
    values = np.ascontiguousarray(values.transpose(1, 0, 2))
    out = np.empty((tokens, kv_heads, heads // kv_heads, head_dim), np.float32)
    for start in range(0, tokens, QUERY_TILE):
        stop = min(start + QUERY_TILE, tokens)
        first = 0 if window is None else max(start - window + 1, 0)
        tile = grouped[:, :, start:stop]
        scores = (tile.reshape(kv_heads, -1, head_dim) @ keys[..., first:stop]).reshape(*tile.shape[:3], stop - first)
        future = np.triu(np.full((stop - start, stop - start), -np.inf, np.float32), k=1)
        scores[..., start - first :] += future
        if window is not None:
            age = np.arange(start, stop)[:, None] - np.arange(first, stop)
            scores += np.where(age < window, np.float32(0), np.float32(-np.inf))
        softmax(scores)
        context = scores.reshape(kv_heads, -1, stop - first) @ values[:, first:stop]
        out[start:stop] = context.reshape(tile.shape).transpose(2, 0, 1, 3)
    return out.reshape(tokens, -1)


def softmax(x: FloatArray) -> None:
    """Replace `x` with its softmax over the last axis, in place."""
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)


def token_nll(hidden: FloatArray, head: FloatArray, targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Negative log-likelihood of each target, in nats: float64 ``[tokens]``. The logits are not kept.

    Parameters
    ----------
    hidden
        Normalised residual stream, ``[tokens, hidden]``.
    head
        Head matrix, ``[vocabulary, hidden]``.
    targets
        The token that follows each token, ``[tokens]``.
    """
    nll = np.empty(len(hidden), np.float64)
    buffer = np.empty((min(HEAD_TILE, len(hidden)), len(head)), np.float32)
    for start in range(0, len(hidden), HEAD_TILE):
        rows = slice(start, min(start + HEAD_TILE, len(hidden)))
        logits = buffer[: rows.stop - start]
        np.matmul(hidden[rows], head.T, out=logits)
        logits -= logits.max(axis=1, keepdims=True)
        target_logits = np.take_along_axis(logits, targets[rows, None], axis=1)[:, 0].astype(np.float64)
        np.exp(logits, out=logits)
        nll[rows] = np.log(logits.sum(axis=1), dtype=np.float64) - target_logits
    return nll

"""Operators of a decoder in float32 NumPy, written to move little memory.

`tokens` counts the rows of a single sequence; the first row is at position 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..models.parameters import FloatArray, RopeScaling

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


def relu(x: FloatArray) -> FloatArray:
    """Replace `x` with ``max(x, 0)``, in place."""
    return np.maximum(x, 0, out=x)


def rope_table(
    tokens: int, head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return cosines and sines of the rotary position embedding, each ``[tokens, 1, head_dim / 2]``."""
    frequencies = 1 / theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
    if scaling is not None:
        frequencies = scaling.scale(frequencies.astype(np.float32))
    angles = np.arange(tokens, dtype=np.float32)[:, None, None] * frequencies.astype(np.float32)
    return np.cos(angles), np.sin(angles)


def rotate(x: FloatArray, table: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Apply the rotary position embedding to ``[tokens, heads, head_dim]``; channel i pairs with i + head_dim / 2."""
    cosine, sine = table
    first, second = np.split(x, 2, axis=-1)
    out = np.empty_like(x)
    out[..., : x.shape[-1] // 2] = first * cosine - second * sine
    out[..., x.shape[-1] // 2 :] = second * cosine + first * sine
    return out


def causal_attention(queries: FloatArray, keys: FloatArray, values: FloatArray) -> FloatArray:
    """Scaled dot-product attention of each token to itself and to the tokens before it.

    Parameters
    ----------
    queries
        ``[tokens, heads, head_dim]``.
    keys
        ``[tokens, kv_heads, head_dim]``; consecutive query heads share one key/value head.
    values
        ``[tokens, kv_heads, head_dim]``.

    Returns
    -------
    FloatArray
        ``[tokens, heads * head_dim]``.
    """
    tokens, heads, head_dim = queries.shape
    kv_heads = keys.shape[1]
    grouped = queries.reshape(tokens, kv_heads, heads // kv_heads, head_dim).transpose(1, 2, 0, 3)
    grouped = np.multiply(grouped, head_dim**-0.5, dtype=np.float32)
    keys = np.ascontiguousarray(keys.transpose(1, 2, 0))
    values = np.ascontiguousarray(values.transpose(1, 0, 2))
    out = np.empty((tokens, kv_heads, heads // kv_heads, head_dim), np.float32)
    for start in range(0, tokens, QUERY_TILE):
        stop = min(start + QUERY_TILE, tokens)
        tile = grouped[:, :, start:stop]
        scores = (tile.reshape(kv_heads, -1, head_dim) @ keys[..., :stop]).reshape(*tile.shape[:3], stop)
        future = np.triu(np.full((stop - start, stop - start), -np.inf, np.float32), k=1)
        scores[..., start:] += future
        softmax(scores)
        context = scores.reshape(kv_heads, -1, stop) @ values[:, :stop]
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

"""Float reference of the integer decoder: the same folds and widths, by fake quantisation.

The two differ in the integer arithmetic alone: dyadic scales, the chord of DI-Exp, the 16-bit residual stream.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...formats.integer_only.smoothing import BlockWeights
from ..inference import operators
from ..models.parameters import DecoderWeights, FloatArray
from .weights import IntegerConfig


def fake_quantize_asymmetric(x: FloatArray, bits: int, axis: int = -1) -> FloatArray:
    """Quantise each slice along `axis` to `bits`-bit codes over its range, round to nearest, and back (I-LLM's code)."""
    low, high = x.min(axis=axis, keepdims=True), x.max(axis=axis, keepdims=True)
    step = np.clip((high - low) / np.float32((1 << bits) - 1), np.float32(1e-5), np.float32(1e4))
    zero_point = np.clip(np.rint(-low / step), -1e4, 1e4).astype(np.float32)
    codes = np.clip(np.rint(x / step) + zero_point, 0, (1 << bits) - 1)
    return (codes - zero_point) * step


class FakeQuantDecoder:
    """Float forward pass with I-LLM's quantisers wherever the integer decoder requantises.

    Parameters
    ----------
    weights
        The float model.
    blocks
        Blocks of the model, smoothed or not.
    config
        The widths: weight_bits, activation_bits, gate_bits, head_bits and probability_bits are used; the other options
        concern integer arithmetic only.
    """

    def __init__(self, weights: DecoderWeights, blocks: Sequence[BlockWeights], config: IntegerConfig) -> None:
        self._weights, self._config = weights, config
        head = weights.embedding if weights.head is None else weights.head
        self._head = fake_quantize_asymmetric(head, config.head_bits)
        self._blocks = [self._quantize_block(block) for block in blocks]

    def _quantize_block(self, block: BlockWeights) -> dict[str, FloatArray]:
        arrays = {name: array.astype(np.float32) for name, array in block.items()}
        bits = self._config.weight_bits
        return {name: fake_quantize_asymmetric(w, bits, axis=0) if w.ndim == 2 else w for name, w in arrays.items()}

    def nll(self, blocks: NDArray[np.int32]) -> NDArray[np.float64]:
        """Negative log-likelihoods in nats, float64 ``[blocks, tokens - 1]``; see `Decoder.nll`."""
        return np.stack([self._token_nll(tokens) for tokens in blocks])

    def _token_nll(self, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        x = self._weights.embedding[tokens[:-1]]
        for block in self._blocks:
            self._block(block, x)
        hidden = self._norm(x, self._weights.final_norm.gain, self._config.head_bits)
        return operators.token_nll(hidden, self._head, tokens[1:])

    def _norm(self, x: FloatArray, gain: FloatArray, bits: int) -> FloatArray:
        return fake_quantize_asymmetric(operators.rms_norm(x, gain, self._weights.norm_epsilon), bits)

    def _block(self, block: dict[str, FloatArray], x: FloatArray) -> None:
        """Add the block's attention and FFN to the residual stream, in place."""
        bits, gate_bits = self._config.activation_bits, self._config.gate_bits
        y = self._norm(x, block["input_norm"], bits)
        context = self._attention(y @ block["q"], y @ block["k"], y @ block["v"])
        x += fake_quantize_asymmetric(context, bits) @ block["o"]
        y = self._norm(x, block["post_norm"], bits)
        gate, up = (fake_quantize_asymmetric(y @ block[name], gate_bits) for name in ("gate", "up"))
        argument = gate / block["gate_smooth"] if "gate_smooth" in block else gate
        with np.errstate(over="ignore"):
            activated = np.divide(gate, 1 + np.exp(-argument), dtype=np.float32) * up
        x += fake_quantize_asymmetric(activated, bits) @ block["down"]

    def _attention(self, q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
        shape, bits = self._weights.shape, self._config.activation_bits
        tokens = len(q)
        assert self._weights.rope_theta is not None
        table = operators.rope_table(tokens, shape.head_dim, self._weights.rope_theta)
        heads = [part.reshape(tokens, -1, shape.head_dim) for part in (q, k, v)]
        q, k = (fake_quantize_asymmetric(operators.rotate(part, table), bits).transpose(1, 0, 2) for part in heads[:2])
        v = fake_quantize_asymmetric(heads[2], bits).transpose(1, 0, 2)
        k, v = (np.repeat(part, shape.heads // shape.kv_heads, axis=0) for part in (k, v))
        scores = q @ k.swapaxes(1, 2) * np.float32(shape.head_dim**-0.5)
        scores += np.triu(np.full((tokens, tokens), -np.inf, np.float32), k=1)
        operators.softmax(scores)
        steps = np.float32(1 << (self._config.probability_bits - 1))
        probabilities = np.divide(np.rint(scores * steps), steps, dtype=np.float32)
        return (probabilities @ v).transpose(1, 0, 2).reshape(tokens, -1)

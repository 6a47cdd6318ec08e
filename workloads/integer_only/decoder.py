"""A LLaMA decoder that computes in integers alone, from token ids to logits (I-LLM, arXiv 2405.17849).

``docs/integer_only.md`` lists what the paper's public sources leave open, and the choices made here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.integer_only import (
    Anchor,
    DyadicTensor,
    add_residual,
    common_exponent,
    di_clipped_softmax,
    di_norm,
    di_swiglu,
    exact_matmul,
    requantize,
)
from ...formats.integer_only.arithmetic import Integers, normalize_rows
from .weights import (
    ROPE_BITS,
    Factors,
    IntegerBlock,
    IntegerDecoderWeights,
    rope_table,
)

NORM_FRACTION_BITS = 20
ROPE_INPUT_BIT = 30
"""Top bit of queries and keys before the rotation; their products with the table stay below 2**46."""
KV_EXPONENT = 24
"""Fixed exponent of key and value scales. The scales differ per token, along the axis over which scores are compared and
values summed, so they become integer factors. A fixed exponent keeps a token's factor independent of later tokens."""
HEAD_TILE = 256
"""Tokens per tile of the language-model head, to limit memory."""

RopeTable = tuple[Integers, Integers]


class IntegerDecoder:
    """A decoder of integer tables; every array between the embedding lookup and the logits holds integers.

    Every dynamic scale belongs to one token, so a token's logits depend only on the tokens up to it: a longer sequence gives
    the same integers for its beginning.

    Parameters
    ----------
    weights
        Tables, widths and options; `quantize_decoder` makes them from a float model.
    """

    def __init__(self, weights: IntegerDecoderWeights) -> None:
        self.weights = weights
        self.shape = weights.shape
        self._config = weights.config
        self._rope = rope_table(self.shape.max_length, self.shape.head_dim, weights.rope_theta)
        self._final_norm = _Norm(weights.final_norm, weights)
        self._blocks = [_Block(block, weights) for block in weights.blocks]

    def logits(self, tokens: NDArray[np.integer]) -> DyadicTensor:
        """Integer logits of the next token after each token, ``[tokens, vocabulary]``, with one scale per token."""
        return self._project(self.hidden(tokens))

    def hidden(self, tokens: NDArray[np.integer]) -> DyadicTensor:
        """Output of the final norm, ``[tokens, hidden]``.

        Raises
        ------
        InputError
            A token is outside the vocabulary, or the tokens do not fit the model's context.
        """
        if not 0 < len(tokens) <= self.shape.max_length:
            raise InputError(f"tokens: {len(tokens)} do not fit the context of {self.shape.max_length}; use fewer")
        if tokens.min() < 0 or tokens.max() >= self.shape.vocabulary:
            raise InputError(f"tokens: ids must lie in 0..{self.shape.vocabulary - 1}; use this model's tokenizer")
        residual = self.weights.embedding.map(lambda part: np.take(part, tokens, axis=0).astype(np.int64))
        for block in self._blocks:
            residual = block.forward(residual, self._rope)
        return self._final_norm(residual, self._config.head_bits)

    def nll(self, blocks: NDArray[np.int32]) -> NDArray[np.float64]:
        """Negative log-likelihood of each token but the first, in nats: float64 ``[blocks, tokens - 1]``.

        The logits are integers; the log-sum-exp over them is computed in floats.
        """
        return np.stack([self._token_nll(tokens) for tokens in blocks])

    def _token_nll(self, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        hidden = self.hidden(tokens[:-1])
        parts: list[NDArray[np.float64]] = []
        for start in range(0, len(tokens) - 1, HEAD_TILE):
            rows = slice(start, start + HEAD_TILE)
            logits = self._project(hidden.map(lambda part, rows=rows: part[rows])).dequantize()
            logits -= logits.max(axis=1, keepdims=True)
            target = np.take_along_axis(logits, tokens[1:][rows, None], axis=1)[:, 0]
            parts.append(np.log(np.exp(logits).sum(axis=1)) - target)
        return np.concatenate(parts)

    def _project(self, hidden: DyadicTensor) -> DyadicTensor:
        return exact_matmul(hidden, self.weights.head, self._config.engine)


class _Norm:
    """RMSNorm with its gain; the output is requantised per token."""

    def __init__(self, gain: Factors, weights: IntegerDecoderWeights) -> None:
        self._gain = gain
        self._epsilon = int(weights.epsilon.m[0]), weights.epsilon.k
        self._anchor: Anchor = weights.config.anchor

    def __call__(self, residual: DyadicTensor, bits: int) -> DyadicTensor:
        y = di_norm(residual.codes, fraction_bits=NORM_FRACTION_BITS, epsilon=self._epsilon, k=residual.k)
        k = np.full_like(residual.k, NORM_FRACTION_BITS + self._gain.k)
        return requantize(DyadicTensor.power_of_two(y * self._gain.m, k), bits, self._anchor)


class _Block:
    """Forward pass of one transformer block."""

    def __init__(self, block: IntegerBlock, weights: IntegerDecoderWeights) -> None:
        self._block, self._config, self._shape = block, weights.config, weights.shape
        self._input_norm, self._post_norm = _Norm(block.input_norm, weights), _Norm(block.post_norm, weights)
        self._smooth = None if block.gate_smooth is None else (block.gate_smooth.m, block.gate_smooth.k)

    def forward(self, residual: DyadicTensor, rope: RopeTable) -> DyadicTensor:
        config = self._config
        x = self._input_norm(residual, config.activation_bits)
        context = self._attention(x, rope)
        residual = add_residual(residual, self._product(context, "o"), config.residual_bits)
        x = self._post_norm(residual, config.activation_bits)
        gate, up = (self._requantize(self._product(x, name), config.gate_bits) for name in ("gate", "up"))
        activated = di_swiglu(gate, up, self._smooth, config.sigmoid_bits, config.guard_bits, config.sigmoid_form)
        activated = self._requantize(activated, config.activation_bits)
        return add_residual(residual, self._product(activated, "down"), config.residual_bits)

    def _requantize(self, x: DyadicTensor, bits: int) -> DyadicTensor:
        return requantize(x, bits, self._config.anchor)

    def _product(self, x: DyadicTensor, name: str) -> DyadicTensor:
        return exact_matmul(x, self._block.linears[name], self._config.engine)

    def _attention(self, x: DyadicTensor, rope: RopeTable) -> DyadicTensor:
        """Input of the output projection, ``[tokens, heads * head_dim]``."""
        config, kv_heads = self._config, self._shape.kv_heads
        q, k, v = (self._heads(self._product(x, name)) for name in "qkv")
        q, k = _rotate(q, rope), _rotate(k, rope)
        q, k, v = (self._requantize(part, config.activation_bits) for part in (q, k, v))
        # [kv_heads, query heads that share it, tokens, head_dim]; keys transposed
        q = q.map(lambda part: part.reshape(len(part), kv_heads, -1, part.shape[-1]).transpose(1, 2, 0, 3))
        k = _fixed_exponent(k.map(lambda part: part.transpose(1, 2, 0)[:, None]))
        v = _fixed_exponent(v.map(lambda part: part.transpose(1, 0, 2)[:, None]))
        scores = exact_matmul(q, k, config.engine)
        probabilities = self._softmax(scores)
        values = DyadicTensor.power_of_two(v.centered * v.m, v.k)
        context = exact_matmul(probabilities, values, config.engine)
        merged = context.codes.transpose(2, 0, 1, 3).reshape(context.codes.shape[2], -1)
        k = np.full_like(merged[:, :1], config.probability_bits - 1 + KV_EXPONENT)
        return self._requantize(DyadicTensor.power_of_two(merged, k), config.activation_bits)

    def _softmax(self, scores: DyadicTensor) -> DyadicTensor:
        config = self._config
        causal = np.tri(scores.codes.shape[-1], dtype=np.bool_)
        probabilities = di_clipped_softmax(
            scores.codes, scores.m, scores.k, config.probability_bits, guard_bits=config.guard_bits, mask=causal
        )
        return DyadicTensor.power_of_two(probabilities, np.full_like(scores.k, config.probability_bits - 1))

    def _heads(self, x: DyadicTensor) -> DyadicTensor:
        """Split ``[tokens, heads * head_dim]`` to ``[tokens, heads, head_dim]``; every head gets the token's scale."""
        codes = x.codes.reshape(len(x.codes), -1, self._shape.head_dim)
        zero = np.zeros_like(codes[..., :1])
        return DyadicTensor(codes, x.m[:, None] + zero, x.k[:, None] + zero, zero)


def _rotate(x: DyadicTensor, rope: RopeTable) -> DyadicTensor:
    """Apply the rotary position embedding; channel i of a head pairs with i + head_dim / 2."""
    codes, left = normalize_rows(x.codes, ROPE_INPUT_BIT)
    cosine, sine = (table[: len(codes)] for table in rope)
    first, second = np.split(codes, 2, axis=-1)
    rotated = np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
    return DyadicTensor(rotated, x.m, x.k + left + ROPE_BITS, x.zero_point)


def _fixed_exponent(x: DyadicTensor) -> DyadicTensor:
    return DyadicTensor(x.codes, common_exponent(x.m, x.k, KV_EXPONENT), np.asarray(KV_EXPONENT), x.zero_point)

"""Forward pass of a decoder-only transformer. Hooks see and replace the inputs of its GeMMs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ..models.parameters import DecoderWeights, FloatArray, Linear, Norm
from ..models.precision import MODULES
from ..models.shapes import ModelShape
from ..text.blocks import TextBlocks, load_blocks
from ..text.tokenizer import TextTokenizer
from . import operators


class ActivationHook(Protocol):
    """Function that sees, and may replace, the activations that enter the GeMMs of a module."""

    def __call__(self, module: str, layer: int, x: FloatArray, /) -> FloatArray:
        """Return the activations to multiply, float32 ``[tokens, channels]`` like `x`; `x` must not change."""
        ...


class ModuleArithmetic(ABC):
    """Computes the GeMMs of a module in another arithmetic than float32."""

    @abstractmethod
    def multiply(self, module: str, layer: int, x: FloatArray, weights: Sequence[Int4Weights]) -> FloatArray:
        """Multiply float32 ``[tokens, in]`` by each matrix ``[in, out]``; return the results side by side, float32."""


Hook = ActivationHook | ModuleArithmetic
"""Change of a forward pass: replaces the inputs of the GeMMs, or computes the GeMMs as a whole."""


class Decoder:
    """A model that runs: LLaMA and its relatives (RMSNorm, rotary positions, gated FFN) or OPT (LayerNorm, ReLU).

    Weights are dequantised to float32 when a layer first runs. Each sequence is computed by itself, so the result of a
    text block does not depend on the other blocks.
    """

    def __init__(self, weights: DecoderWeights, tokenizer: TextTokenizer | None, sha256: str) -> None:
        self.shape: ModelShape = weights.shape
        self.sha256 = sha256
        """Hexadecimal sha256 of the file that the weights came from, or another text that identifies them."""
        self._tokenizer = tokenizer
        self.weights = weights
        """Parameters as they were loaded."""
        self._blocks = [_Block(weights, layer) for layer in range(weights.shape.layers)]

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of the model.

        Raises
        ------
        InputError
            The model has no tokenizer.
        """
        if self._tokenizer is None:
            raise InputError(
                f"tokenizer: {self.shape.name} has none; copy its tokenizer.json into the folder, or give token ids"
            )
        return self._tokenizer

    def blocks(self, text: str = "wiki", split: str = "calibration", tokens: int = 512, blocks: int = 8) -> TextBlocks:
        """Load blocks of a text for this model; see `load_blocks`.

        Raises
        ------
        InputError
            The blocks are longer than the model's context, or one of the errors of `load_blocks`.
        """
        tokenizer = self.tokenizer
        require_length(self.shape, tokens)
        return load_blocks(tokenizer, text, split, tokens, blocks)

    def linear(self, layer: int, name: str) -> Int4Weights:
        """Return the INT4 weights of a linear layer: q, k, v, o, gate, up or down.

        Raises
        ------
        InputError
            There is no such layer or name, or its weights have another format.
        """
        return self.weights.int4(layer, name)

    def with_weights(self, weights: DecoderWeights, sha256: str) -> Decoder:
        """Return the same model with other weights; `sha256` identifies them."""
        return Decoder(weights, self._tokenizer, sha256)

    def hidden(self, tokens: NDArray[np.int32], hook: Hook | None = None, layers: int | None = None) -> FloatArray:
        """Residual stream after the first `layers` blocks: float32 ``[tokens, hidden]``.

        Parameters
        ----------
        tokens
            One sequence, int32 ``[tokens]``.
        hook
            Sees and replaces the inputs of the modules' GeMMs, or computes them.
        layers
            Number of blocks to run; None runs all.

        Raises
        ------
        InputError
            The sequence is longer than the model's context.
        """
        require_length(self.shape, len(tokens))
        x = self.weights.embed(tokens)
        self.run(x, range(self.shape.layers)[:layers], hook)
        return x

    def run(self, x: FloatArray, layers: Iterable[int], hook: Hook | None = None) -> None:
        """Run some blocks on the residual stream ``[tokens, hidden]`` of one sequence, in place."""
        for layer in layers:
            self._blocks[layer].forward(x, hook)

    def logits(self, tokens: NDArray[np.int32], hook: Hook | None = None) -> FloatArray:
        """Logits of the next token after each token: float32 ``[tokens, vocabulary]``."""
        return self._final(self.hidden(tokens, hook)) @ self._head.T

    def nll(self, blocks: NDArray[np.int32], hook: Hook | None = None) -> NDArray[np.float64]:
        """Negative log-likelihood of each token but the first, in nats: float64 ``[blocks, tokens - 1]``.

        Parameters
        ----------
        blocks
            Independent sequences, int32 ``[blocks, tokens]``.
        hook
            Sees and replaces the inputs of the modules' GeMMs, or computes them.
        """
        return np.stack([self.token_nll(self.hidden(block, hook), block) for block in blocks])

    def token_nll(self, hidden: FloatArray, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        """Negative log-likelihood of ``tokens[1:]``, in nats: float64 ``[tokens - 1]``.

        Parameters
        ----------
        hidden
            Residual stream after the last block, ``[tokens, hidden]``.
        tokens
            The sequence, int32 ``[tokens]``.
        """
        return operators.token_nll(self._final(hidden[:-1]), self._head, tokens[1:])

    def logit_tiles(self, hidden: FloatArray) -> Iterator[FloatArray]:
        """Logits after the residual stream ``[tokens, hidden]`` of the last block: float32 ``[tile, vocabulary]``, in order."""
        final = self._final(hidden)
        for start in range(0, len(final), operators.HEAD_TILE):
            yield final[start : start + operators.HEAD_TILE] @ self._head.T

    @property
    def _head(self) -> FloatArray:
        return self.weights.embedding if self.weights.head is None else self.weights.head

    def _final(self, x: FloatArray) -> FloatArray:
        return _normalise(x, self.weights.final_norm, self.weights.norm_epsilon)


def require_length(shape: ModelShape, tokens: int) -> None:
    """Raise `InputError` if a sequence of this length does not fit the model's context."""
    if tokens > shape.max_length:
        raise InputError(f"tokens: {tokens} do not fit the context of {shape.name}; use {shape.max_length} at most")


class _Block:
    """One transformer block with its weights as float32 matrices ``[in, out]``, one for each module."""

    def __init__(self, weights: DecoderWeights, layer: int) -> None:
        self._weights, self._index = weights, layer
        self._shape = weights.shape
        self._layer = weights.layers[layer]

    def forward(self, x: FloatArray, hook: Hook | None) -> None:
        """Add the block's attention and FFN to the residual stream ``[tokens, hidden]``, in place."""
        epsilon = self._weights.norm_epsilon
        normalised = _normalise(x, self._layer.attention_norm, epsilon)
        context = self._attention(self._multiply("qkv", normalised, hook))
        x += _optionally(self._multiply("o", context, hook), self._layer.attention_output_norm, epsilon)
        normalised = _normalise(x, self._layer.ffn_norm, epsilon)
        activated = self._activate(self._multiply("u", normalised, hook))
        x += _optionally(self._multiply("d", activated, hook), self._layer.ffn_output_norm, epsilon)

    def _activate(self, up: FloatArray) -> FloatArray:
        if not self._shape.gated:
            return operators.relu(up)
        return operators.swiglu(up) if self._weights.gate_activation == "silu" else operators.gelu_glu(up)

    def _multiply(self, module: str, x: FloatArray, hook: Hook | None) -> FloatArray:
        if isinstance(hook, ModuleArithmetic):
            weights = [self._weights.int4(self._index, name) for name in self._layer.names(module)]
            out = hook.multiply(module, self._index, x, weights)
        else:
            out = (x if hook is None else hook(module, self._index, x)) @ self._matrices[module]
        if (bias := self._biases[module]) is not None:
            out += bias
        return out

    def _attention(self, qkv: FloatArray) -> FloatArray:
        shape, weights, layer = self._shape, self._weights, self._layer
        heads = qkv.reshape(len(qkv), shape.heads + 2 * shape.kv_heads, shape.head_dim)
        queries, keys, values = np.split(heads, [shape.heads, shape.heads + shape.kv_heads], axis=1)
        queries = _optionally(queries, layer.query_norm, weights.norm_epsilon)
        keys = _optionally(keys, layer.key_norm, weights.norm_epsilon)
        if (rope := weights.rope(self._index)) is not None:
            table = operators.rope_table(len(qkv), shape.head_dim, *rope)
            queries, keys = operators.rotate(queries, table), operators.rotate(keys, table)
        return operators.causal_attention(queries, keys, values, layer.window, weights.attention_scale)

    @cached_property
    def _matrices(self) -> dict[str, FloatArray]:
        """Weights of each module's linear layers, side by side."""
        return {module: _beside(linear.weights.dequantize() for linear in self._linears(module)) for module in MODULES}

    @cached_property
    def _biases(self) -> dict[str, FloatArray | None]:
        """Biases of each module's linear layers, side by side; all layers of a module have one or none has."""
        biases = {module: [linear.bias for linear in self._linears(module)] for module in MODULES}
        present = {module: [bias for bias in found if bias is not None] for module, found in biases.items()}
        return {module: _beside(found) if found else None for module, found in present.items()}

    def _linears(self, module: str) -> list[Linear]:
        return [self._layer.linears[name] for name in self._layer.names(module)]


def _beside(arrays: Iterable[FloatArray]) -> FloatArray:
    return np.concatenate(list(arrays), axis=-1)


def _optionally(x: FloatArray, norm: Norm | None, epsilon: float) -> FloatArray:
    """Normalise the last axis of `x`, if there is a norm."""
    return x if norm is None else _normalise(x.reshape(-1, x.shape[-1]), norm, epsilon).reshape(x.shape)


def _normalise(x: FloatArray, norm: Norm, epsilon: float) -> FloatArray:
    if norm.bias is None:
        return operators.rms_norm(x, norm.gain, epsilon)
    return operators.layer_norm(x, norm.gain, norm.bias, epsilon)

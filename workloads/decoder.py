"""The forward pass of a decoder-only transformer, open at the inputs of its GeMMs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..formats import InputError, Int4Weights
from . import operators
from .shapes import ModelShape
from .tokenizer import Tokenizer
from .weights import MODULE_LINEARS, DecoderWeights, FloatArray, LayerWeights, Norm


class ActivationHook(Protocol):
    """Sees, and may replace, what enters the GeMMs of a module."""

    def __call__(self, module: str, layer: int, x: FloatArray, /) -> FloatArray:
        """Return the activations to multiply: float32 ``[tokens, channels]`` like `x`, which stays as it is."""
        ...


class Decoder:
    """A model that runs: LLaMA (RMSNorm, rotary positions, SwiGLU) or OPT (LayerNorm, learned positions, ReLU).

    Weights are dequantised to float32 when a layer first runs. Each sequence is computed by itself, so what a block
    gives does not depend on its neighbours.
    """

    def __init__(self, weights: DecoderWeights, tokenizer: Tokenizer | None, sha256: str) -> None:
        self.shape: ModelShape = weights.shape
        self.sha256 = sha256
        """Of the file the weights came from."""
        self._tokenizer = tokenizer
        self.weights = weights
        """As they were loaded."""
        self._blocks = [_Block(weights, layer) for layer in range(weights.shape.layers)]

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer.

        Raises:
            InputError: the model came without one.
        """
        if self._tokenizer is None:
            raise InputError(f"tokenizer: {self.shape.name} came without one; give token ids instead of text")
        return self._tokenizer

    def linear(self, layer: int, name: str) -> Int4Weights:
        """The INT4 weights of a linear layer: q, k, v, o, gate, up or down.

        Raises:
            InputError: no such layer or name, or weights of another format.
        """
        if not 0 <= layer < self.shape.layers:
            raise InputError(f"layer: {layer} does not exist; {self.shape.name} has 0 to {self.shape.layers - 1}")
        linears = self.weights.layers[layer].linears
        if name not in linears:
            raise InputError(f"name: {name!r} is no linear layer of {self.shape.name}; use {' '.join(linears)}")
        weights = linears[name].weights
        if not isinstance(weights, Int4Weights):
            raise InputError(f"weights: {name} of layer {layer} is in {weights.name}; this needs INT4 weights")
        return weights

    def hidden(
        self, tokens: NDArray[np.int32], hook: ActivationHook | None = None, layers: int | None = None
    ) -> FloatArray:
        """The residual stream after the first `layers` blocks (all, if None): float32 ``[tokens, hidden]``.

        Args:
            tokens: int32 ``[tokens]``, one sequence.
            hook: sees and replaces the inputs of the modules' GeMMs.
            layers: blocks to run.
        """
        x = self.weights.embedding[tokens]
        if self.weights.positions is not None:
            x += self.weights.positions[: len(tokens)]
        for layer, block in enumerate(self._blocks[:layers]):
            block.forward(x, layer, hook)
        return x

    def logits(self, tokens: NDArray[np.int32], hook: ActivationHook | None = None) -> FloatArray:
        """Logits of the next token after each token: float32 ``[tokens, vocabulary]``."""
        return self._final(self.hidden(tokens, hook)) @ self._head.T

    def nll(self, blocks: NDArray[np.int32], hook: ActivationHook | None = None) -> NDArray[np.float64]:
        """Negative log-likelihood of each token but the first, in nats: float64 ``[blocks, tokens - 1]``.

        Args:
            blocks: int32 ``[blocks, tokens]``, independent sequences.
            hook: sees and replaces the inputs of the modules' GeMMs.
        """
        return np.stack(
            [operators.token_nll(self._final(self.hidden(block, hook)[:-1]), self._head, block[1:]) for block in blocks]
        )

    @property
    def _head(self) -> FloatArray:
        return self.weights.embedding if self.weights.head is None else self.weights.head

    def _final(self, x: FloatArray) -> FloatArray:
        return _normalise(x, self.weights.final_norm, self.weights.norm_epsilon)


class _Block:
    """One transformer block with its weights as float32 matrices ``[in, out]``, one per module."""

    def __init__(self, weights: DecoderWeights, layer: int) -> None:
        self._shape = weights.shape
        self._layer: LayerWeights = weights.layers[layer]
        self._epsilon = weights.norm_epsilon
        self._rope_theta = weights.rope_theta

    def forward(self, x: FloatArray, layer: int, hook: ActivationHook | None) -> None:
        """Add the block's attention and FFN to the residual stream ``[tokens, hidden]``, in place."""
        normalised = _normalise(x, self._layer.attention_norm, self._epsilon)
        context = self._attention(self._gemm("qkv", layer, normalised, hook))
        x += self._gemm("o", layer, context, hook)
        normalised = _normalise(x, self._layer.ffn_norm, self._epsilon)
        up = self._gemm("u", layer, normalised, hook)
        activated = operators.swiglu(up) if self._shape.gated else operators.relu(up)
        x += self._gemm("d", layer, activated, hook)

    def _gemm(self, module: str, layer: int, x: FloatArray, hook: ActivationHook | None) -> FloatArray:
        matrix, bias = self._modules[module]
        out = (x if hook is None else hook(module, layer, x)) @ matrix
        if bias is not None:
            out += bias
        return out

    def _attention(self, qkv: FloatArray) -> FloatArray:
        shape = self._shape
        heads = qkv.reshape(len(qkv), shape.heads + 2 * shape.kv_heads, shape.head_dim)
        rotated, values = np.split(heads, [shape.heads + shape.kv_heads], axis=1)
        if self._rope_theta is not None:
            rotated = operators.rotate(rotated, operators.rope_table(len(qkv), shape.head_dim, self._rope_theta))
        queries, keys = np.split(rotated, [shape.heads], axis=1)
        return operators.causal_attention(queries, keys, values)

    @cached_property
    def _modules(self) -> dict[str, tuple[FloatArray, FloatArray | None]]:
        """The matrix and bias of each module: its linear layers side by side."""
        return {
            module: self._side_by_side(name for name in names if name in self._layer.linears)
            for module, names in MODULE_LINEARS.items()
        }

    def _side_by_side(self, names: Iterable[str]) -> tuple[FloatArray, FloatArray | None]:
        linears = [self._layer.linears[name] for name in names]
        matrix = np.concatenate([linear.weights.dequantize() for linear in linears], axis=1)
        biases = [linear.bias for linear in linears if linear.bias is not None]
        return matrix, np.concatenate(biases) if biases else None


def _normalise(x: FloatArray, norm: Norm, epsilon: float) -> FloatArray:
    if norm.bias is None:
        return operators.rms_norm(x, norm.gain, epsilon)
    return operators.layer_norm(x, norm.gain, norm.bias, epsilon)

"""Forward pass in torch, for evaluations: same model, same hooks, same values up to float32 rounding.

Needs torch (extra ``hf``). Hooks get NumPy arrays that share the memory of torch's tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.checks import check_choice
from ..extras import import_extra
from ..models.parameters import FloatArray, LayerWeights, Norm
from ..models.precision import MODULES
from . import operators
from .decoder import Decoder, Hook, ModuleArithmetic, require_length

Tensor = Any

BACKENDS = ("numpy", "torch")
HEAD_TILE = 256
"""Tokens per tile of the language-model head. With a vocabulary of 49152, a tile of logits takes 50 MB."""


class TorchDecoder:
    """A decoder, for `evaluate`, that computes with torch.

    Without a hook, the NLL of a token differs from that of `Decoder` by float32 rounding, less than 1e-3 nats. A hook that
    rounds turns some of these differences into steps of its own format; single tokens then differ more, and only means
    over many tokens agree. Do not mix the two in one evaluation. Their cache entries are separate.

    Parameters
    ----------
    decoder
        The model; its weights are copied as float32 matrices.

    Raises
    ------
    InputError
        Torch is not installed.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._torch = import_extra("torch")
        self.shape = decoder.shape
        self.sha256 = f"{decoder.sha256} torch {self._torch.__version__}"
        """Identifies the values: those of the decoder, computed by this version of torch."""
        model = decoder.weights
        self._weights = model
        self._head = self._tensor(model.embedding if model.head is None else model.head)
        self._layers = [_Layer(self._torch, layer) for layer in model.layers]
        self._ropes: dict[Any, tuple[Tensor, Tensor]] = {}
        """Rotary tables of the length that ran last."""

    def _tensor(self, array: FloatArray) -> Tensor:
        """Tensor of an array; it shares the array's memory if the array is writeable."""
        return self._torch.from_numpy(array if array.flags.writeable else array.copy())

    def nll(self, blocks: NDArray[np.int32], hook: Hook | None = None) -> NDArray[np.float64]:
        """Negative log-likelihoods in nats, float64 ``[blocks, tokens - 1]``; see `Decoder.nll`."""
        return np.stack([self.token_nll(self.hidden(tokens, hook), tokens) for tokens in blocks])

    def hidden(self, tokens: NDArray[np.int32], hook: Hook | None = None, layers: int | None = None) -> FloatArray:
        """Residual stream after the first `layers` blocks, float32 ``[tokens, hidden]``; see `Decoder.hidden`."""
        require_length(self.shape, len(tokens))
        x = self._weights.embed(tokens)
        self.run(x, range(self.shape.layers)[:layers], hook)
        return x

    def run(self, x: FloatArray, layers: Iterable[int], hook: Hook | None = None) -> None:
        """Run some blocks on the residual stream ``[tokens, hidden]`` of one sequence, in place; see `Decoder.run`."""
        with self._torch.inference_mode():
            stream = self._torch.from_numpy(x)
            for index in layers:
                weights = self._layers[index].weights
                qkv = self._multiply("qkv", index, self._normalise(stream, weights.attention_norm), hook)
                context = self._multiply("o", index, self._attention(index, qkv), hook)
                stream += self._optionally(context, weights.attention_output_norm)
                up = self._multiply("u", index, self._normalise(stream, weights.ffn_norm), hook)
                down = self._multiply("d", index, self._activate(up), hook)
                stream += self._optionally(down, weights.ffn_output_norm)

    def token_nll(self, hidden: FloatArray, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        """Negative log-likelihood of ``tokens[1:]`` in nats, float64 ``[tokens - 1]``; see `Decoder.token_nll`."""
        torch = self._torch
        with torch.inference_mode():
            final = self._normalise(torch.from_numpy(hidden[:-1]), self._weights.final_norm)
            targets = torch.from_numpy(tokens[1:].astype(np.int64))
            nll = [
                torch.nn.functional.cross_entropy(rows @ self._head.T, own, reduction="none")
                for rows, own in zip(final.split(HEAD_TILE), targets.split(HEAD_TILE), strict=True)
            ]
            return torch.cat(nll).double().numpy()

    def logit_tiles(self, hidden: FloatArray) -> Iterator[FloatArray]:
        """Logits after the residual stream of the last block, float32 ``[tile, vocabulary]``; see `Decoder.logit_tiles`."""
        torch = self._torch
        with torch.inference_mode():
            final = self._normalise(torch.from_numpy(hidden), self._weights.final_norm)
        for rows in final.split(HEAD_TILE):
            with torch.inference_mode():  # not around the yield: the mode would stay on in the caller
                logits = rows @ self._head.T
            yield logits.numpy()

    def _multiply(self, module: str, index: int, x: Tensor, hook: Hook | None) -> Tensor:
        layer = self._layers[index]
        if isinstance(hook, ModuleArithmetic):
            weights = [self._weights.int4(index, name) for name in layer.weights.names(module)]
            out = self._torch.from_numpy(hook.multiply(module, index, x.numpy(), weights))
        else:
            if hook is not None:
                x = self._torch.from_numpy(hook(module, index, x.numpy()))
            out = x @ layer.matrices[module]
        bias = layer.biases[module]
        return out if bias is None else out + bias

    def _attention(self, index: int, qkv: Tensor) -> Tensor:
        shape, layer = self.shape, self._layers[index].weights
        heads = qkv.view(len(qkv), -1, shape.head_dim)
        queries, keys, values = heads.split([shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
        queries = self._rotate(index, self._optionally(queries, layer.query_norm))
        keys = self._rotate(index, self._optionally(keys, layer.key_norm))
        context = self._torch.nn.functional.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys.transpose(0, 1)[None],
            values.transpose(0, 1)[None],
            attn_mask=self._mask(len(qkv), layer.window),
            is_causal=layer.window is None,
            scale=self._weights.attention_scale,
            enable_gqa=shape.heads != shape.kv_heads,
        )
        return context[0].transpose(0, 1).reshape(len(qkv), -1)

    def _mask(self, tokens: int, window: int | None) -> Tensor | None:
        """True where a token attends to another, ``[tokens, tokens]``; None for all tokens before it."""
        if window is None:
            return None
        position = self._torch.arange(tokens)
        age = position[:, None] - position
        return (age >= 0) & (age < window)

    def _rotate(self, index: int, x: Tensor) -> Tensor:
        rope = self._weights.rope(index)
        if rope is None:
            return x
        key = (len(x), *rope)
        if key not in self._ropes:
            self._ropes = {known: table for known, table in self._ropes.items() if known[0] == len(x)}
            table = operators.rope_table(len(x), self.shape.head_dim, *rope)
            self._ropes[key] = (self._tensor(table[0]), self._tensor(table[1]))
        cosine, sine = self._ropes[key]
        first, second = x.chunk(2, dim=-1)
        return self._torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

    def _activate(self, up: Tensor) -> Tensor:
        if not self.shape.gated:
            return up.relu_()
        gate, up = up.chunk(2, dim=1)
        functional = self._torch.nn.functional
        silu = self._weights.gate_activation == "silu"
        return (functional.silu(gate) if silu else functional.gelu(gate, approximate="tanh")) * up

    def _optionally(self, x: Tensor, norm: Norm | None) -> Tensor:
        """Normalise the last axis of `x`, if there is a norm."""
        return x if norm is None else self._normalise(x, norm)

    def _normalise(self, x: Tensor, norm: Norm) -> Tensor:
        functional, epsilon = self._torch.nn.functional, self._weights.norm_epsilon
        gain = self._tensor(norm.gain)
        if norm.bias is None:
            return functional.rms_norm(x, gain.shape, gain, epsilon)
        return functional.layer_norm(x, gain.shape, gain, self._tensor(norm.bias), epsilon)


class _Layer:
    """Weights of one layer as torch matrices ``[in, out]``, one for each module."""

    def __init__(self, torch: Any, weights: LayerWeights) -> None:
        self.weights = weights
        self.matrices = {module: torch.from_numpy(_matrix(weights, module)) for module in MODULES}
        self.biases = {module: _bias(torch, weights, module) for module in MODULES}


def _matrix(weights: LayerWeights, module: str) -> FloatArray:
    matrices = [weights.linears[name].weights.dequantize() for name in weights.names(module)]
    return np.ascontiguousarray(np.concatenate(matrices, axis=1))


def _bias(torch: Any, weights: LayerWeights, module: str) -> Tensor | None:
    biases = [bias for name in weights.names(module) if (bias := weights.linears[name].bias) is not None]
    return torch.from_numpy(np.concatenate(biases)) if biases else None


def evaluator(decoder: Decoder, backend: str) -> Decoder | TorchDecoder:
    """Return the decoder itself (backend ``"numpy"``) or a `TorchDecoder` of it (``"torch"``).

    Raises
    ------
    InputError
        An unknown backend, or torch is not installed.
    """
    check_choice("backend", backend, BACKENDS)
    return decoder if backend == "numpy" else TorchDecoder(decoder)

"""A block of `FakeQuantDecoder` in torch, with gradients of its smoothing factors and of the clipping of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...formats.integer_only.smoothing import HeadLayout
from ..inference import operators
from ..inference.decoder import Decoder
from .weights import LINEARS, IntegerConfig

Tensor = Any
Tensors = dict[str, Tensor]

SMALLEST_STEP, LARGEST_STEP = 1e-5, 1e4
"""Limits of a quantisation step (the authors' code)."""


class TorchBlock:
    """One transformer block; rounding passes gradients on unchanged (straight-through).

    Parameters
    ----------
    torch
        The package.
    decoder
        A LLaMA model; its shape, epsilon and rotary embedding are used.
    config
        The widths.
    """

    def __init__(self, torch: Any, decoder: Decoder, config: IntegerConfig) -> None:
        self._torch, self._config = torch, config
        self._shape, self._epsilon = decoder.shape, decoder.weights.norm_epsilon
        self._layout = HeadLayout(decoder.shape.heads, decoder.shape.kv_heads)
        theta = decoder.weights.rope_theta
        assert theta is not None  # float_blocks refused models without
        table = operators.rope_table(self._shape.max_length, self._shape.head_dim, theta)
        self._cosine, self._sine = (torch.tensor(part) for part in table)

    def fold(self, weights: Mapping[str, Tensor], factors: Mapping[str, Tensor]) -> Tensors:
        """Fold factors into weights like `smooth_llama_block`; `query_key` has one factor per rotary pair."""
        qkv, out, fc1, gate_up, fc2 = (factors[name] for name in ("qkv", "out", "fc1", "gate_up", "fc2"))
        query_key = factors["query_key"].reshape(self._layout.kv_heads, 1, -1).expand(-1, 2, -1).reshape(-1)
        return {
            "input_norm": weights["input_norm"] / qkv,
            "q": weights["q"] * qkv[:, None] / self._repeat(query_key),
            "k": weights["k"] * qkv[:, None] * query_key,
            "v": weights["v"] * qkv[:, None] / out,
            "o": weights["o"] * self._repeat(out)[:, None],
            "post_norm": weights["post_norm"] / fc1,
            "gate": weights["gate"] * fc1[:, None] * gate_up,
            "up": weights["up"] * fc1[:, None] / gate_up / fc2,
            "down": weights["down"] * fc2[:, None],
            "gate_smooth": gate_up,
        }

    def clip(self, block: Mapping[str, Tensor], shares: Mapping[str, Tensor]) -> Tensors:
        """Clip the matrices: `shares` has the part of each output channel's range that stays, ``[2, out]`` (low, high)."""
        clipped = dict(block)
        for name in LINEARS:
            low, high = self._range(block[name], 0)
            clipped[name] = self._torch.clamp(block[name], low * shares[name][0], high * shares[name][1])
        return clipped

    def forward(self, block: Mapping[str, Tensor], x: Tensor, quantized: bool) -> Tensor:
        """Run the block on ``[tokens, hidden]``."""
        bits, gate_bits = self._config.activation_bits, self._config.gate_bits
        quantize = self._quantize if quantized else lambda x, bits, axis=-1: x
        w = {
            name: quantize(array, self._config.weight_bits, 0) if array.ndim == 2 else array
            for name, array in block.items()
        }
        y = quantize(self._norm(x, w["input_norm"]), bits)
        q, k, v = (self._heads(y @ w[name]) for name in "qkv")
        q, k = quantize(self._rotate(q), bits), quantize(self._rotate(k), bits)
        context = self._attention(q, k, quantize(v, bits))
        x = x + quantize(context, bits) @ w["o"]
        y = quantize(self._norm(x, w["post_norm"]), bits)
        gate, up = quantize(y @ w["gate"], gate_bits), quantize(y @ w["up"], gate_bits)
        argument = gate / w["gate_smooth"] if "gate_smooth" in w else gate
        return x + quantize(gate * self._torch.sigmoid(argument) * up, bits) @ w["down"]

    def _range(self, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        return x.amin(axis, keepdim=True), x.amax(axis, keepdim=True)

    def _quantize(self, x: Tensor, bits: int, axis: int = -1) -> Tensor:
        """Quantise like `fake_quantize_asymmetric`."""
        low, high = self._range(x, axis)
        step = ((high - low) / ((1 << bits) - 1)).clamp(SMALLEST_STEP, LARGEST_STEP)
        zero_point = self._round(-low / step).clamp(-1e4, 1e4)
        codes = (self._round(x / step) + zero_point).clamp(0, (1 << bits) - 1)
        return (codes - zero_point) * step

    def _round(self, x: Tensor) -> Tensor:
        return (self._torch.round(x) - x).detach() + x

    def _norm(self, x: Tensor, gain: Tensor) -> Tensor:
        return x * self._torch.rsqrt((x * x).mean(-1, keepdim=True) + self._epsilon) * gain

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1, self._shape.head_dim)

    def _rotate(self, x: Tensor) -> Tensor:
        cosine, sine = self._cosine[: len(x)], self._sine[: len(x)]
        first, second = x.chunk(2, -1)
        return self._torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        group = self._layout.heads // self._layout.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = self._torch.einsum("ihc,jhc->hij", q, k) * self._shape.head_dim**-0.5
        future = self._torch.ones(scores.shape[1:], dtype=self._torch.bool).triu(1)
        probabilities = scores.masked_fill(future, float("-inf")).softmax(-1)
        return self._torch.einsum("hij,jhc->ihc", probabilities, v).reshape(len(q), -1)

    def _repeat(self, per_kv_channel: Tensor) -> Tensor:
        heads = per_kv_channel.reshape(self._layout.kv_heads, -1)
        return heads.repeat_interleave(self._layout.heads // self._layout.kv_heads, 0).reshape(-1)

"""Learned smoothing factors of FSBR (I-LLM), trained block by block against the float model. Needs the extra ``hf``.

The loss of a block is the mean squared difference between its float output on the float model's input and its
fake-quantised output on the output of the blocks quantised before it. The authors also learn weight clipping; this code
does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.checks import check_integer, check_positive
from ...formats.integer_only.smoothing import (
    BlockFactors,
    BlockWeights,
    HeadLayout,
    analytic_llama_factors,
    smooth_llama_block,
)
from ..extras import import_extra
from ..inference import operators
from ..inference.decoder import Decoder
from ..models.parameters import FloatArray
from .smoothed_blocks import ActivationMaxima, float_blocks
from .weights import IntegerConfig

SMALLEST_FACTOR = 1e-2
"""Lower limit of the factors during training (the authors' code)."""
FACTORS = ("qkv", "out", "query_key", "fc1", "gate_up", "fc2")

Tensor = Any
Progress = Callable[[int, list[float]], None]


@dataclass(frozen=True, kw_only=True)
class FsbrTraining:
    """Training of the factors; the authors use 20 epochs over 128 sequences of 2048 tokens, one at a time."""

    epochs: int = 20
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1)
        check_positive("learning_rate", self.learning_rate)


def learned_blocks(
    decoder: Decoder,
    calibration: NDArray[np.int32],
    config: IntegerConfig,
    training: FsbrTraining | None = None,
    progress: Progress | None = None,
) -> list[BlockWeights]:
    """Fold learned factors into the decoder's blocks (FSBR); return the folded blocks.

    Parameters
    ----------
    decoder
        A LLaMA model.
    calibration
        Text to train on, int32 ``[sequences, tokens]``.
    config
        The widths to train for.
    training
        Epochs and learning rate.
    progress
        Called after each block with its index and the mean loss of every epoch.

    Raises
    ------
    InputError
        The package torch is not installed, or the model is not of the LLaMA architecture.
    """
    torch = import_extra("torch")
    plain = float_blocks(decoder.weights)
    maxima = ActivationMaxima()
    for tokens in calibration:
        decoder.hidden(tokens, maxima)
    layout = HeadLayout(decoder.shape.heads, decoder.shape.kv_heads)
    twin = _Twin(torch, decoder, layout, config)
    exact = [torch.tensor(decoder.weights.embedding[tokens]) for tokens in calibration]
    lossy = [x.clone() for x in exact]
    blocks: list[BlockWeights] = []
    for layer, block in enumerate(plain):
        start = _start(block, analytic_llama_factors(block, maxima.by_layer[layer], layout))
        weights = {name: torch.tensor(array) for name, array in block.items()}
        with torch.no_grad():
            exact, inputs = [twin.forward(weights, x, quantized=False) for x in exact], lossy
        factors, losses = _train(torch, twin, weights, start, inputs, exact, training or FsbrTraining())
        with torch.no_grad():
            lossy = [twin.forward(twin.fold(weights, factors), x, quantized=True) for x in inputs]
        blocks.append(smooth_llama_block(block, _block_factors(factors, layout), layout))
        if progress:
            progress(layer, losses)
    return blocks


def _start(block: BlockWeights, analytic: BlockFactors) -> BlockFactors:
    """Analytic factors, and 1 for query against key (one value per rotary pair) and gate against up."""
    pairs, ffn = block["k"].shape[1] // 2, block["gate"].shape[1]
    return replace(analytic, query_key=np.ones(pairs, np.float32), gate_up=np.ones(ffn, np.float32))


def _train(
    torch: Any,
    twin: _Twin,
    weights: dict[str, Tensor],
    start: BlockFactors,
    inputs: list[Tensor],
    targets: list[Tensor],
    training: FsbrTraining,
) -> tuple[dict[str, Tensor], list[float]]:
    """Return the factors of the epoch with the lowest mean loss, and the mean loss of every epoch."""
    factors = {name: torch.tensor(getattr(start, name), requires_grad=True) for name in FACTORS}
    optimizer = torch.optim.AdamW(list(factors.values()), lr=training.learning_rate, weight_decay=0.0)
    best: dict[str, Tensor] = {}
    losses: list[float] = []
    for _ in range(training.epochs):
        total = 0.0
        for x, target in zip(inputs, targets, strict=True):
            loss = torch.mean((twin.forward(twin.fold(weights, factors), x, quantized=True) - target) ** 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for value in factors.values():
                    value.clamp_(min=SMALLEST_FACTOR)
            total += loss.item()
        losses.append(total / len(inputs))
        if losses[-1] == min(losses):
            best = {name: value.detach().clone() for name, value in factors.items()}
    return best, losses


def _block_factors(factors: dict[str, Tensor], layout: HeadLayout) -> BlockFactors:
    arrays: dict[str, FloatArray] = {name: value.detach().numpy() for name, value in factors.items()}
    pairs = arrays["query_key"].reshape(layout.kv_heads, 1, -1)
    arrays["query_key"] = np.repeat(pairs, 2, axis=1).reshape(-1)
    return BlockFactors(**arrays)


class _Twin:
    """Block of `FakeQuantDecoder` in torch, with straight-through gradients of the rounding."""

    def __init__(self, torch: Any, decoder: Decoder, layout: HeadLayout, config: IntegerConfig) -> None:
        self._torch, self._layout, self._config = torch, layout, config
        self._shape, self._epsilon = decoder.shape, decoder.weights.norm_epsilon
        theta = decoder.weights.rope_theta
        assert theta is not None  # float_blocks refused models without
        table = operators.rope_table(self._shape.max_length, self._shape.head_dim, theta)
        self._cosine, self._sine = (torch.tensor(part) for part in table)

    def fold(self, weights: dict[str, Tensor], factors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fold factors into weights like `smooth_llama_block`, with gradients; query_key has one factor per rotary pair."""
        qkv, out, fc1, gate_up, fc2 = (factors[name] for name in ("qkv", "out", "fc1", "gate_up", "fc2"))
        pairs = factors["query_key"].reshape(self._layout.kv_heads, 1, -1).expand(-1, 2, -1)
        query_key = pairs.reshape(-1)
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

    def forward(self, block: dict[str, Tensor], x: Tensor, quantized: bool) -> Tensor:
        """Run one block on ``[tokens, hidden]``."""
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

    def _quantize(self, x: Tensor, bits: int, axis: int = -1) -> Tensor:
        """Quantise like `fake_quantize_asymmetric`; rounding passes gradients on unchanged."""
        low, high = x.amin(axis, keepdim=True), x.amax(axis, keepdim=True)
        step = ((high - low) / ((1 << bits) - 1)).clamp(1e-5, 1e4)
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

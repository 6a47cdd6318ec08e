"""FSBR's equivalent transformations: positive vectors that move range between neighbours, folded into the weights.

Fully-Smooth Block Reconstruction (I-LLM, arXiv 2405.17849, and the authors' code). A block is a mapping of
plain float arrays. Matrices are [in, out], as everywhere in this project, so the paper's "columns" are rows here. A
bias, where a model has one, stands under ``<name>_bias``. Every function returns a new mapping and leaves its argument
alone; with quantisation off, the block computes what it computed before, to float rounding.

LLaMA: input_norm [d], q [d, heads * head], k and v [d, kv_heads * head], o, post_norm [d], gate and up [d, ffn], down.
OPT: attn_norm, q, k, v, o, final_norm, fc1, fc2, with biases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

FloatArray = NDArray[np.floating[Any]]
BlockWeights = dict[str, FloatArray]

SMALLEST_SCALE = 1e-5
"""Lower bound of analytic scales, and of the weight maxima that they divide by (the authors' code)."""


@dataclass(frozen=True)
class HeadLayout:
    """Attention heads: `heads` query heads share `kv_heads` key and value heads, in order."""

    heads: int
    kv_heads: int

    def __post_init__(self) -> None:
        if self.kv_heads < 1 or self.heads % self.kv_heads:
            raise InputError(f"heads is {self.heads}, kv_heads {self.kv_heads}; heads must be a multiple of kv_heads")

    def repeat(self, per_kv_channel: FloatArray) -> FloatArray:
        """A vector over key/value channels [kv_heads * head] as seen by the query heads [heads * head]."""
        by_head = per_kv_channel.reshape(self.kv_heads, -1)
        return np.repeat(by_head, self.heads // self.kv_heads, axis=0).ravel()

    def largest_in_group(self, per_query_channel: FloatArray) -> FloatArray:
        """The maximum over the query heads of each key/value head: [heads * head] to [kv_heads * head]."""
        return per_query_channel.reshape(self.kv_heads, self.heads // self.kv_heads, -1).max(axis=1).ravel()


@dataclass(frozen=True, eq=False)
class BlockFactors:
    """Smoothing vectors of one block; None leaves a pair as it is.

    Attributes:
        qkv: norm to q, k, v [d].
        fc1: norm to gate and up, or to fc1 [d].
        out: v to o [kv_heads * head].
        query_key: k against q [kv_heads * head].
        gate_up: gate against up, undone inside the sigmoid [ffn]; LLaMA alone.
        fc2: up to down, or fc1 to fc2 [ffn].
        fc1_shift: shift of the norm before fc1 [d]; OPT alone.
    """

    qkv: FloatArray | None = None
    fc1: FloatArray | None = None
    out: FloatArray | None = None
    query_key: FloatArray | None = None
    gate_up: FloatArray | None = None
    fc2: FloatArray | None = None
    fc1_shift: FloatArray | None = None


def analytic_scale(activation_max: FloatArray, weight_max: FloatArray, alpha: float = 0.5) -> FloatArray:
    """``max(1e-5, a**alpha / w**(1 - alpha))`` per channel: FSBR's initialisation (SmoothQuant's formula).

    Args:
        activation_max: largest magnitude of each channel on calibration text [channels].
        weight_max: largest magnitude of the weights that consume the channel [channels].
        alpha: 0..1, how much of the range moves into the weights.

    >>> analytic_scale(np.array([4.0, 9.0]), np.array([1.0, 4.0]))
    array([2. , 1.5])
    """
    if activation_max.shape != weight_max.shape:
        raise InputError(f"activation_max {activation_max.shape} and weight_max {weight_max.shape} differ in shape")
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; choose 0 to 1")
    weight = np.maximum(weight_max, SMALLEST_SCALE)
    return np.maximum(activation_max**alpha / weight ** (1 - alpha), SMALLEST_SCALE)


def smooth_norm(
    weights: Mapping[str, FloatArray],
    norm: str,
    consumers: Sequence[str],
    scale: FloatArray,
    shift: FloatArray | None = None,
) -> BlockWeights:
    """Norm to linears: the gain is divided by the scale, the consumers' rows are multiplied by it.

    A shift z turns the norm's bias into ``(bias - z) / scale`` and adds ``z @ W`` to each consumer's bias, with W
    before scaling; biases that the block lacks are created.
    """
    scale = _positive("scale", scale, weights[norm].shape[0])
    folded = dict(weights)
    folded[norm] = weights[norm] / scale
    bias = weights.get(norm + "_bias")
    if shift is not None or bias is not None:
        moved = np.zeros_like(scale) if shift is None else shift
        folded[norm + "_bias"] = ((0 if bias is None else bias) - moved) / scale
    for name in consumers:
        folded[name] = weights[name] * scale[:, None]
        if shift is not None:
            folded[name + "_bias"] = weights.get(name + "_bias", 0) + shift @ weights[name]
    return folded


def smooth_pair(
    weights: Mapping[str, FloatArray], producer: str, consumer: str, scale: FloatArray, layout: HeadLayout | None = None
) -> BlockWeights:
    """Linear to linear: the producer's outputs are divided by the scale, the consumer's rows multiplied by it.

    Between them may stand what commutes with a positive scale per channel: the attention average (v to o; then `layout`
    repeats the scale for the query heads), ReLU, or the product with the gate.
    """
    folded = _scale_outputs(weights, producer, 1 / _positive("scale", scale, weights[producer].shape[1]))
    seen = scale if layout is None else layout.repeat(scale)
    folded[consumer] = weights[consumer] * seen[:, None]
    return folded


def smooth_query_key(
    weights: Mapping[str, FloatArray], scale: FloatArray, layout: HeadLayout, rotary: bool
) -> BlockWeights:
    """Keys are multiplied by the scale, the queries that meet them divided: every score stays the same.

    A rotary embedding turns channel i of a head together with channel ``i + head/2``, so it commutes with the scale
    only if both have the same; anything else is refused.
    """
    scale = _positive("scale", scale, weights["k"].shape[1])
    if rotary:
        halves = scale.reshape(layout.kv_heads, 2, -1)
        if not np.array_equal(halves[:, 0], halves[:, 1]):
            raise InputError("scale: channels i and i + head/2 of a head differ; rotary embeddings need equal pairs")
    folded = _scale_outputs(weights, "k", scale)
    return _scale_outputs(folded, "q", 1 / layout.repeat(scale))


def smooth_gate_up(weights: Mapping[str, FloatArray], scale: FloatArray) -> BlockWeights:
    """Non-linear act-smooth: gate times s, up divided by s; the activation becomes ``x1 * sigmoid(x1/s) * x2``.

    The block's ``gate_smooth`` [ffn] holds s, which the activation needs at run time.
    """
    scale = _positive("scale", scale, weights["gate"].shape[1])
    folded = _scale_outputs(_scale_outputs(weights, "gate", scale), "up", 1 / scale)
    folded["gate_smooth"] = weights.get("gate_smooth", np.ones_like(scale)) * scale
    return folded


def smooth_llama_block(
    weights: Mapping[str, FloatArray], factors: BlockFactors, layout: HeadLayout, rotary: bool = True
) -> BlockWeights:
    """All of FSBR's folds of a LLaMA block."""
    folded = dict(weights)
    if factors.qkv is not None:
        folded = smooth_norm(folded, "input_norm", ("q", "k", "v"), factors.qkv)
    if factors.out is not None:
        folded = smooth_pair(folded, "v", "o", factors.out, layout)
    if factors.query_key is not None:
        folded = smooth_query_key(folded, factors.query_key, layout, rotary)
    if factors.fc1 is not None:
        folded = smooth_norm(folded, "post_norm", ("gate", "up"), factors.fc1)
    if factors.gate_up is not None:
        folded = smooth_gate_up(folded, factors.gate_up)
    if factors.fc2 is not None:
        folded = smooth_pair(folded, "up", "down", factors.fc2)
    return folded


def smooth_opt_block(weights: Mapping[str, FloatArray], factors: BlockFactors, layout: HeadLayout) -> BlockWeights:
    """All of FSBR's folds of an OPT block (LayerNorm with bias, ReLU, no rotary embedding, no gate)."""
    if factors.gate_up is not None:
        raise InputError("gate_up: an OPT block has no gate; leave it None")
    folded = dict(weights)
    if factors.qkv is not None:
        folded = smooth_norm(folded, "attn_norm", ("q", "k", "v"), factors.qkv)
    if factors.out is not None:
        folded = smooth_pair(folded, "v", "o", factors.out, layout)
    if factors.query_key is not None:
        folded = smooth_query_key(folded, factors.query_key, layout, rotary=False)
    if factors.fc1 is not None:
        folded = smooth_norm(folded, "final_norm", ("fc1",), factors.fc1, factors.fc1_shift)
    if factors.fc2 is not None:
        folded = smooth_pair(folded, "fc1", "fc2", factors.fc2)
    return folded


def analytic_llama_factors(
    weights: Mapping[str, FloatArray], activation_max: Mapping[str, FloatArray], layout: HeadLayout, alpha: float = 0.5
) -> BlockFactors:
    """FSBR's starting point without training: analytic scales for the serial pairs, 1 for query_key and gate_up.

    Args:
        weights: a LLaMA block.
        activation_max: calibration maxima of magnitudes per channel of the inputs of q/k/v ``qkv`` [d], of o ``o``
            [heads * head], of gate/up ``u`` [d] and of down ``d`` [ffn].
        layout: the heads.
        alpha: see `analytic_scale`.
    """

    def consumed(*names: str) -> FloatArray:
        return np.max([np.abs(weights[name]).max(axis=1) for name in names], axis=0)

    into_o = layout.largest_in_group(activation_max["o"]), layout.largest_in_group(consumed("o"))
    return BlockFactors(
        qkv=analytic_scale(activation_max["qkv"], consumed("q", "k", "v"), alpha),
        out=analytic_scale(*into_o, alpha),
        fc1=analytic_scale(activation_max["u"], consumed("gate", "up"), alpha),
        fc2=analytic_scale(activation_max["d"], consumed("down"), alpha),
    )


def _scale_outputs(weights: Mapping[str, FloatArray], name: str, factor: FloatArray) -> BlockWeights:
    folded = dict(weights)
    folded[name] = weights[name] * factor
    if name + "_bias" in weights:
        folded[name + "_bias"] = weights[name + "_bias"] * factor
    return folded


def _positive(name: str, scale: FloatArray, channels: int) -> FloatArray:
    if scale.shape != (channels,):
        raise InputError(f"{name} has shape {list(scale.shape)}; pass [{channels}], one value per channel")
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise InputError(f"{name} holds values that are not positive and finite; raise them to at least 1e-2")
    return scale

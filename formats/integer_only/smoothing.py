"""FSBR's equivalent transformations: positive vectors, folded into the weights, that move range between operators.

Source: Fully-Smooth Block Reconstruction (I-LLM, arXiv 2405.17849, and the authors' code). A block is a mapping of float
arrays. Matrices are [in, out], so the "columns" of the paper are rows here. A bias has the key ``<name>_bias``. Every
function returns a new mapping and does not change its argument. Without quantisation, the block computes the same as
before, up to float rounding.

LLaMA: input_norm [d], q [d, heads * head], k and v [d, kv_heads * head], o, post_norm [d], gate and up [d, ffn], down.
OPT: attn_norm, q, k, v, o, final_norm, fc1, fc2, with biases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_number
from ..errors import InputError

FloatArray = NDArray[np.floating[Any]]
BlockWeights = dict[str, FloatArray]

SMALLEST_SCALE = 1e-5
"""Lower bound of analytic scales and of the weight maxima in them (the authors' code)."""


@dataclass(frozen=True)
class HeadLayout:
    """Numbers of attention heads: `heads` query heads share `kv_heads` key and value heads, in order."""

    heads: int
    kv_heads: int

    def __post_init__(self) -> None:
        if self.kv_heads < 1 or self.heads % self.kv_heads:
            raise InputError(f"heads: is {self.heads}; give a multiple of kv_heads, {self.kv_heads}")

    def repeat(self, per_kv_channel: FloatArray) -> FloatArray:
        """Repeat a vector over key/value channels [kv_heads * head] for the query heads: [heads * head]."""
        by_head = per_kv_channel.reshape(self.kv_heads, -1)
        return np.repeat(by_head, self.heads // self.kv_heads, axis=0).ravel()

    def largest_in_group(self, per_query_channel: FloatArray) -> FloatArray:
        """Maximum over the query heads of each key/value head: [heads * head] to [kv_heads * head]."""
        return per_query_channel.reshape(self.kv_heads, self.heads // self.kv_heads, -1).max(axis=1).ravel()


@dataclass(frozen=True, eq=False)
class BlockFactors:
    """Smoothing vectors of one block; None leaves a pair unchanged.

    Attributes
    ----------
    qkv
        Norm to q, k, v [d].
    fc1
        Norm to gate and up, or to fc1 [d].
    out
        v to o [kv_heads * head].
    query_key
        k against q [kv_heads * head].
    gate_up
        Gate against up, undone in the sigmoid [ffn]; only LLaMA.
    fc2
        Up to down, or fc1 to fc2 [ffn].
    fc1_shift
        Shift of the norm before fc1 [d]; only OPT.
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

    Parameters
    ----------
    activation_max
        Largest magnitude of each channel on calibration text [channels].
    weight_max
        Largest magnitude of the weights that are multiplied by the channel [channels].
    alpha
        Share of the range that moves into the weights, 0 to 1.

    >>> analytic_scale(np.array([4.0, 9.0]), np.array([1.0, 4.0]))
    array([2. , 1.5])
    """
    if activation_max.shape != weight_max.shape:
        raise InputError(
            f"weight_max: has shape {weight_max.shape}; give that of activation_max, {activation_max.shape}"
        )
    check_number("alpha", alpha, 0, 1)
    weight = np.maximum(weight_max, SMALLEST_SCALE)
    return np.maximum(activation_max**alpha / weight ** (1 - alpha), SMALLEST_SCALE)


def smooth_norm(
    weights: Mapping[str, FloatArray],
    norm: str,
    consumers: Sequence[str],
    scale: FloatArray,
    shift: FloatArray | None = None,
) -> BlockWeights:
    """Norm to linears: divide the gain by the scale, and multiply the rows of the consumers by it.

    A shift z turns the bias of the norm into ``(bias - z) / scale`` and adds ``z @ W`` to the bias of each consumer, with
    W before scaling. Missing biases are created.
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
    """Linear to linear: divide the outputs of the producer by the scale, and multiply the rows of the consumer by it.

    Operators between them must commute with a positive scale per channel: the attention average (v to o; then `layout`
    repeats the scale for the query heads), ReLU, or the product with the gate.
    """
    folded = _scale_outputs(weights, producer, 1 / _positive("scale", scale, weights[producer].shape[1]))
    seen = scale if layout is None else layout.repeat(scale)
    folded[consumer] = weights[consumer] * seen[:, None]
    return folded


def smooth_query_key(
    weights: Mapping[str, FloatArray], scale: FloatArray, layout: HeadLayout, rotary: bool
) -> BlockWeights:
    """Multiply keys by the scale and divide their queries by it, which changes no score.

    A rotary embedding combines channels i and ``i + head/2`` of a head, so both must have the same scale.
    """
    scale = _positive("scale", scale, weights["k"].shape[1])
    if rotary:
        halves = scale.reshape(layout.kv_heads, 2, -1)
        if not np.array_equal(halves[:, 0], halves[:, 1]):
            raise InputError(
                "scale: channels i and i + head/2 of a head differ; give equal scales for rotary embeddings"
            )
    folded = _scale_outputs(weights, "k", scale)
    return _scale_outputs(folded, "q", 1 / layout.repeat(scale))


def smooth_gate_up(weights: Mapping[str, FloatArray], scale: FloatArray) -> BlockWeights:
    """Non-linear act-smooth: multiply gate by s and divide up by s; the activation becomes ``x1 * sigmoid(x1/s) * x2``.

    The entry ``gate_smooth`` [ffn] of the block holds s for the activation.
    """
    scale = _positive("scale", scale, weights["gate"].shape[1])
    folded = _scale_outputs(_scale_outputs(weights, "gate", scale), "up", 1 / scale)
    folded["gate_smooth"] = weights.get("gate_smooth", np.ones_like(scale)) * scale
    return folded


def smooth_llama_block(
    weights: Mapping[str, FloatArray], factors: BlockFactors, layout: HeadLayout, rotary: bool = True
) -> BlockWeights:
    """Apply all transformations of FSBR to a LLaMA block."""
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
    """Apply all transformations of FSBR to an OPT block (LayerNorm with bias, ReLU, no rotary embedding, no gate)."""
    if factors.gate_up is not None:
        raise InputError("gate_up: does not exist in an OPT block; give None")
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
    """Start of FSBR without training: analytic scales for the serial pairs, 1 for query_key and gate_up.

    Parameters
    ----------
    weights
        LLaMA block.
    activation_max
        Largest magnitude of each input channel on calibration text: of q, k, v under ``qkv`` [d], of o under ``o``
        [heads * head], of gate and up under ``u`` [d], and of down under ``d`` [ffn].
    layout
        Numbers of heads.
    alpha
        See `analytic_scale`.
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
        raise InputError(f"{name}: has shape {list(scale.shape)}; pass [{channels}], one value per channel")
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise InputError(f"{name}: holds values that are not positive and finite; raise them to at least 1e-2")
    return scale

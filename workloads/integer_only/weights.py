"""Static integer tables of a decoder (weights, gains, embedding), quantised once from floats; and all widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_choice, check_integer
from ...formats.integer_only import Anchor, DyadicTensor, Engine, SigmoidForm
from ...formats.integer_only.arithmetic import Integers
from ...formats.integer_only.smoothing import BlockWeights
from ..inference.decoder import Decoder
from ..models.parameters import MODULE_LINEARS, DecoderWeights
from ..models.shapes import ModelShape
from .smoothed_blocks import smoothed_blocks

FloatArray = NDArray[np.floating[Any]]

LINEARS = tuple(name for names in MODULE_LINEARS.values() for name in names)
CALIBRATION_BLOCKS = 4
MULTIPLIER_BITS = 16
"""Width of static multipliers: weight scales per output channel, norm gains, reciprocal smoothing factors."""
ZERO_POINT_BITS = 8
"""Width of a static zero point, equal to that of a code."""
ROPE_BITS = 14
"""Fraction bits of the rotary tables: int16 entries."""


@dataclass(frozen=True, kw_only=True)
class IntegerConfig:
    """Widths and options of the integer decoder.

    Attributes
    ----------
    weight_bits
        Weights of all linear layers (W of WxAy).
    activation_bits
        Inputs of the linear layers, queries, keys and values (A of WxAy).
    gate_bits
        Inputs of SwiGLU.
    sigmoid_bits
        Sigmoid inside SwiGLU.
    probability_bits
        Softmax output.
    residual_bits
        Residual stream, signed.
    head_bits
        Weights and input of the language-model head; independent of WxAy.
    guard_bits
        Guard bits of DI-Exp; None takes `exp_guard_bits`, 0 is the paper's algorithm.
    sigmoid_form
        Form of the sigmoid; the paper has ``shared_max``.
    anchor
        Anchor of every requantisation; the paper has ``minimum``.
    engine
        Code of the matrix products; both engines give the same integers.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    gate_bits: int = 8
    sigmoid_bits: int = 16
    probability_bits: int = 16
    residual_bits: int = 16
    head_bits: int = 8
    guard_bits: int | None = None
    sigmoid_form: SigmoidForm = "stable"
    anchor: Anchor = "zero"
    engine: Engine = "blas"

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits", "gate_bits", "head_bits"):
            check_integer(name, getattr(self, name), 2, 8)
        for name in ("sigmoid_bits", "probability_bits"):
            check_integer(name, getattr(self, name), 2, 16)
        check_integer("residual_bits", self.residual_bits, 8, 32)
        if self.guard_bits is not None:
            check_integer("guard_bits", self.guard_bits, 0)
        check_choice("sigmoid_form", self.sigmoid_form, get_args(SigmoidForm))
        check_choice("anchor", self.anchor, get_args(Anchor))
        check_choice("engine", self.engine, get_args(Engine))


@dataclass(frozen=True, eq=False)
class Factors:
    """Static factors ``m / 2**k`` per channel: norm gains, reciprocal smoothing factors, an epsilon."""

    m: Integers
    """Signed 16-bit multipliers ``[channels]``."""
    k: int


@dataclass(frozen=True, eq=False)
class IntegerBlock:
    """Tables of one transformer block."""

    input_norm: Factors
    post_norm: Factors
    linears: Mapping[str, DyadicTensor]
    """q k v o gate up down: codes uint8 [in, out], m and zero point [1, out], k common; q includes 1/sqrt(head_dim)."""
    gate_smooth: Factors | None
    """Reciprocals of the factors that FSBR moved from up into gate, ``[ffn]``; None without smoothing."""


@dataclass(frozen=True, eq=False)
class IntegerDecoderWeights:
    """Static tables of an integer decoder."""

    shape: ModelShape
    config: IntegerConfig
    rope_theta: float
    epsilon: Factors
    """Epsilon of the norms, one value."""
    embedding: DyadicTensor
    """Embedding table ``[vocabulary, hidden]``: int16, with a power-of-two scale per row."""
    head: DyadicTensor
    """Language-model head ``[hidden, vocabulary]``, quantised like a linear layer."""
    final_norm: Factors
    blocks: Sequence[IntegerBlock]

    @classmethod
    def quantize(
        cls, weights: DecoderWeights, blocks: Sequence[BlockWeights], config: IntegerConfig
    ) -> IntegerDecoderWeights:
        """Quantise a float model.

        Parameters
        ----------
        weights
            Float model; its shape, embedding, final norm and head are used.
        blocks
            Blocks of the model, smoothed (`smoothed_blocks`) or not (`float_blocks`).
        config
            The widths.

        Raises
        ------
        InputError
            The model has no rotary embedding.
        """
        if weights.rope_theta is None:
            raise InputError(f"model: {weights.shape.name} is not of the LLaMA architecture; use one that is")
        head = weights.embedding if weights.head is None else weights.head
        return cls(
            shape=weights.shape,
            config=config,
            rope_theta=weights.rope_theta,
            epsilon=quantize_factors(np.array([weights.norm_epsilon])),
            embedding=quantize_rows(weights.embedding, config.residual_bits),
            head=quantize_matrix(np.ascontiguousarray(head.T), config.head_bits),
            final_norm=quantize_factors(weights.final_norm.gain),
            blocks=[_quantize_block(block, config.weight_bits, weights.shape.head_dim) for block in blocks],
        )

    @property
    def bits_per_weight(self) -> float:
        """Mean bits per weight of the linear layers, with the multiplier (16 bits) and zero point (8 bits) of each output."""
        matrices = [matrix.codes.shape for block in self.blocks for matrix in block.linears.values()]
        weights = sum(inputs * outputs for inputs, outputs in matrices)
        parameters = sum(outputs for _, outputs in matrices) * (MULTIPLIER_BITS + ZERO_POINT_BITS)
        return self.config.weight_bits + parameters / weights


def quantize_decoder(
    decoder: Decoder, config: IntegerConfig, calibration: NDArray[np.int32] | None = None
) -> IntegerDecoderWeights:
    """Smooth a decoder and quantise it.

    Parameters
    ----------
    decoder
        A LLaMA model.
    config
        The widths.
    calibration
        Text for the smoothing factors, int32 ``[blocks, tokens]``; None takes 4 blocks of 512 calibration tokens.
    """
    if calibration is None:
        calibration = decoder.blocks(blocks=CALIBRATION_BLOCKS).tokens
    return IntegerDecoderWeights.quantize(decoder.weights, smoothed_blocks(decoder, calibration), config)


def _quantize_block(block: BlockWeights, bits: int, head_dim: int) -> IntegerBlock:
    matrices = {name: block[name] for name in LINEARS}
    matrices["q"] = matrices["q"] * np.float32(head_dim**-0.5)
    return IntegerBlock(
        input_norm=quantize_factors(block["input_norm"]),
        post_norm=quantize_factors(block["post_norm"]),
        linears={name: quantize_matrix(w, bits) for name, w in matrices.items()},
        gate_smooth=quantize_factors(1 / block["gate_smooth"]) if "gate_smooth" in block else None,
    )


def quantize_matrix(w: FloatArray, bits: int) -> DyadicTensor:
    """Round `w` ``[in, out]`` to nearest unsigned codes, asymmetric, with a dyadic scale per output channel ``[1, out]``.

    All channels share one exponent, so their 16-bit multipliers can be applied to a row of accumulators. A channel's range
    contains 0: its zero point is a code, and a channel of zeros stays zero.
    """
    top = (1 << bits) - 1
    low, high = np.minimum(w.min(axis=0), 0).astype(np.float64), np.maximum(w.max(axis=0), 0)
    step = np.where(high > low, (high - low) / top, np.finfo(np.float32).tiny)
    k = MULTIPLIER_BITS - 1 - int(np.floor(np.log2(step.max())))
    k -= int(np.ceil(np.ldexp(step.max(), k))) >> MULTIPLIER_BITS
    m = np.maximum(np.ceil(np.ldexp(step, k)), 1)
    grid = np.ldexp(m, -k)
    zero_point = np.rint(-low / grid)
    codes = np.clip(np.rint(w / grid) + zero_point, 0, top).astype(np.uint8)
    return DyadicTensor(codes, m.astype(np.int64)[None], np.asarray(k), zero_point.astype(np.int64)[None])


def quantize_factors(x: FloatArray) -> Factors:
    """Round factors per channel to ``m / 2**k`` with signed 16-bit integers m and one exponent k.

    Raises
    ------
    InputError
        All factors are zero, or one is not finite.
    """
    largest = float(np.abs(x).max())
    if not 0 < largest < np.inf:
        raise InputError(f"factors: the largest magnitude is {largest}; give finite values that are not all zero")
    _, exponent = np.frexp(largest)
    k = MULTIPLIER_BITS - 1 - int(exponent)
    limit = (1 << (MULTIPLIER_BITS - 1)) - 1
    return Factors(np.clip(np.rint(np.ldexp(x.astype(np.float64), k)), -limit, limit).astype(np.int64), k)


def quantize_rows(x: FloatArray, bits: int) -> DyadicTensor:
    """Round rows ``[vocabulary, hidden]`` to signed `bits`-bit integers with a power-of-two scale each."""
    _, exponent = np.frexp(np.abs(x).max(axis=1, keepdims=True))
    k = bits - 1 - exponent.astype(np.int64)
    limit = (1 << (bits - 1)) - 1
    codes = np.clip(np.rint(np.ldexp(x.astype(np.float64), k)), -limit, limit)
    return DyadicTensor.power_of_two(codes.astype(np.int16 if bits <= 16 else np.int32), k)


def rope_table(tokens: int, head_dim: int, theta: float) -> tuple[Integers, Integers]:
    """Return cosines and sines of the rotary embedding with 14 fraction bits, int16 ``[tokens, 1, head_dim / 2]``."""
    angles = np.arange(tokens)[:, None, None] * theta ** (-np.arange(0, head_dim, 2) / head_dim)
    cosine, sine = (np.rint(np.ldexp(f(angles), ROPE_BITS)).astype(np.int16) for f in (np.cos, np.sin))
    return cosine, sine  # pyright: ignore[reportReturnType]

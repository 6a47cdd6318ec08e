"""Stimuli of weight decoders, integer-only operators, and parts of compressor and accumulator."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....formats.integer_only import di_exp, exp_guard_bits, integer_softmax, integer_sqrt
from ....formats.weights.spqr.format import SpQRWeights
from ....formats.weights.spqr.quantizer import SpQR
from ...arithmetic.fp_accumulator import RunningSum
from ...compressor.alignment import FieldExtractor, MaximumExponent
from ...operators.integer_only import DiExp, IntegerSqrt, SoftmaxLane
from ...operators.weight_decoders import SpQRDecoder, SqueezeLLMDecoder
from ...simulation.packing import pack
from .circuits import Stimulus, float_bits, regroup
from .operands import Operands

SCORE_SCALE = (241, 12)
"""Dyadic scale m / 2**k of 8-bit scores that cover 15 nats, the clip of I-LLM."""

STEPS_PER_TABLE = 32
"""Rows of codes that use the table of one output channel: 512 channels with 16 lanes."""

SPQR_OUTPUTS = 16
"""Output channels of the matrix that SpQR quantises: one tile."""

Integers = NDArray[np.int64]


def squeezellm_decoder(design: SqueezeLLMDecoder, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Codes of the weights, with tables of their uniform grid."""
    levels = 1 << design.bits
    codes = regroup(operands.codes.astype(np.int64) + 8 >> 4 - design.bits, design.lanes)
    channels = len(codes) // STEPS_PER_TABLE
    codes = codes[: channels * STEPS_PER_TABLE]
    scales = operands.scales[:channels, None].astype(np.float32)
    tables = (scales * (np.arange(levels) - levels // 2)).astype(np.float16)
    last = np.arange(len(codes)) % STEPS_PER_TABLE == STEPS_PER_TABLE - 1
    inputs = {
        "tables": pack(tables.view(np.uint16).astype(np.int64), 16),
        "codes": [
            word | int(end) << design.bits * design.lanes
            for word, end in zip(pack(codes, design.bits), last, strict=True)
        ],
    }
    weights = tables[np.repeat(np.arange(channels), STEPS_PER_TABLE)[:, None], codes]
    return [_decoded(inputs, weights)]


def spqr_decoder(design: SpQRDecoder, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Weights, quantised as a matrix of `SPQR_OUTPUTS` output channels, group by group."""
    bits, width = len(design.groups.payload.codes[0]), len(design.groups.payload.scale_code)
    channels = operands.weights.size // SPQR_OUTPUTS // design.lanes * design.lanes
    matrix = operands.weights.ravel()[: channels * SPQR_OUTPUTS].reshape(SPQR_OUTPUTS, channels).T.astype(np.float32)
    quantizer = SpQR(bits=bits, group_size=design.lanes, statistics_bits=width, act_order=False)
    packed = quantizer.quantize(matrix, np.eye(channels))
    groups = channels // design.lanes

    def by_group(values: NDArray[np.generic]) -> NDArray[np.generic]:
        """``[in, out]`` as ``[groups * out, lanes]``."""
        return values.reshape(groups, design.lanes, SPQR_OUTPUTS).swapaxes(1, 2).reshape(-1, design.lanes)

    pairs, numbers = _spqr_statistics(packed)
    fields = (
        pack(pairs, width),
        pack(by_group(packed.codes).astype(np.int64), bits),
        pack(numbers.view(np.uint16).astype(np.int64), 16),
    )
    words = [a | b << 2 * width | c << 2 * width + bits * design.lanes for a, b, c in zip(*fields, strict=True)]
    return [_decoded({"groups": words}, by_group(packed.dense()).astype(np.float16))]


def _spqr_statistics(packed: SpQRWeights) -> tuple[Integers, NDArray[np.float16]]:
    """Codes ``[groups, 2]`` of scale and zero, and second-level values ``[groups, 4]`` in the order of the decoder."""
    scales, zeros = packed.scales, packed.zeros
    levels = np.stack([scales.levels[0], zeros.levels[0], scales.levels[1], zeros.levels[1]], axis=-1)
    numbers = np.repeat(levels, packed.parameters.statistics_group, axis=1).reshape(-1, 4)
    pairs = np.stack([scales.fields, zeros.fields], axis=-1).reshape(-1, 2).astype(np.int64)
    return pairs, np.ascontiguousarray(numbers)


def _decoded(inputs: dict[str, list[int]], weights: NDArray[np.float16]) -> Stimulus:
    """Run with these weights as its result, one row per payload."""
    words = pack(np.array(float_bits(weights)).reshape(weights.shape), 16)
    return Stimulus("trace", inputs, {"weights": len(words)}, weights.size, "weight", {"weights": words})


def scores(operands: Operands) -> Integers:
    """Activations as 8-bit scores: steps below the largest of the group."""
    x = operands.activations.astype(np.float64)
    top, span = x.max(axis=1, keepdims=True), np.ptp(x, axis=1, keepdims=True)
    return np.rint((top - x) / np.where(span > 0, span, 1) * 255).astype(np.int64)


def di_exp_operator(design: DiExp, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All scores, with the recommended guard bits."""
    distances = scores(operands).ravel()
    guard, steps = _resolution()
    e = di_exp(-distances, *SCORE_SCALE, guard)[0].tolist()
    words = [int(distance) << guard | steps << design.input_bits for distance in distances]
    return [Stimulus("trace", {"operands": words}, {"result": len(e)}, len(e), "exponential", {"result": e})]


def _resolution() -> tuple[int, int]:
    """Guard bits for the scale of the scores, and steps of DI-Exp in a factor of two."""
    guard = exp_guard_bits(*SCORE_SCALE)
    return guard, di_exp(0, *SCORE_SCALE, guard)[1]


def integer_sqrt_operator(design: IntegerSqrt, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Sums of squares of the scores of each group, as in a norm, shifted to the width of the operand."""
    sums = (scores(operands) ** 2).sum(axis=1)
    shift = max(min(design.bits, 63) - int(sums.max()).bit_length(), 0)
    values = (sums << shift) & (1 << min(design.bits, 63)) - 1
    roots = integer_sqrt(values).tolist()
    return [Stimulus("trace", {"operand": values.tolist()}, {"root": len(roots)}, len(roots), "root", {"root": roots})]


def softmax_lane(design: SoftmaxLane, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Scores of each group as a row, cut to the depth of the lane."""
    rows = scores(operands)[:, : design.depth]
    rows = rows - rows.min(axis=1, keepdims=True)
    guard, steps = _resolution()
    last = np.arange(rows.size) % rows.shape[1] == rows.shape[1] - 1
    input_bits = design.exponential.input_bits
    ends = input_bits + design.steps_bits + 1
    words = [
        int(distance) << guard | steps << input_bits | int(end) << ends
        for distance, end in zip(rows.ravel(), last, strict=True)
    ]
    given = integer_softmax(-rows, *SCORE_SCALE, design.bits).ravel()
    expected = [int(value) | int(end) << design.bits for value, end in zip(given, last, strict=True)]
    outputs = {"probabilities": len(expected)}
    return [Stimulus("trace", {"scores": words}, outputs, len(words), "probability", {"probabilities": expected})]


def field_extractor(design: FieldExtractor, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All activations."""
    values = float_bits(operands.activations)
    outputs = {"sign": 0, "exponent": 0, "significand": 0, "nonfinite": 0}
    return [Stimulus("trace", {"value": values}, outputs, len(values), "value", is_clocked=False)]


def maximum_exponent(design: MaximumExponent, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Exponents of all groups; a subnormal has exponent 1."""
    halves = np.ascontiguousarray(regroup(operands.activations, design.lanes)).view(np.uint16)
    exponents = np.maximum(halves.astype(np.int64) >> 10 & 31, 1)
    largest = {"largest": exponents.max(axis=1).tolist()}
    words = {"exponents": pack(exponents, 5)}
    return [Stimulus("trace", words, {"largest": 0}, halves.size, "value", largest, is_clocked=False)]


def running_sum(design: RunningSum, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Products of each group with its weights; the circuit interleaves as many groups as it has sums."""
    groups = len(operands.activations) // design.parameters.interleave * design.parameters.interleave
    products = operands.activations[:groups].astype(np.float32) * operands.weights[:groups].astype(np.float32)
    sums = np.cumsum(products + np.float32(0), axis=1, dtype=np.float32)[:, -1]
    in_turn = (
        products.reshape(-1, design.parameters.interleave, operands.lanes)
        .swapaxes(1, 2)
        .reshape(-1, design.parameters.interleave)
    )
    last = np.arange(len(in_turn)) % operands.lanes == operands.lanes - 1
    words = [bits | int(end) << 32 for row, end in zip(in_turn, last, strict=True) for bits in float_bits(row)]
    outputs = {"sums": len(sums)}
    return [Stimulus("trace", {"summands": words}, outputs, products.size, "sum", {"sums": float_bits(sums)})]

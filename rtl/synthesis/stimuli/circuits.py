"""Stimuli of Anda's circuits: inputs of a run in which toggles are counted, and expected outputs.

Activations and weights are those of a captured trace. All other inputs (mantissa lengths, positions of a last step) are as
in the accelerator.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from ....formats import AndaFormat, AndaTensor, Int4Weights, fp_int_gemm
from ....formats.anda.plane_mask import sent_planes
from ...array.mxu import MatrixUnit
from ...compressor.bpc import BitPlaneCompressor, BpcLane
from ...elements.anda_pe import AndaPE
from ...interfaces import EXPONENT_BITS
from ...simulation.operands import factor_stream, plane_rows_stream, plane_stream, segment_planes, weight_stream
from ...simulation.packing import pack, pack_fields
from ...simulation.streams import Pauses
from .operands import BLOCK_TOKENS, Operands


@dataclass(frozen=True)
class Stimulus:
    """One run of a circuit.

    Attributes
    ----------
    name : `str`
        Name of the run among those of the circuit, such as ``M=7``.
    inputs : mapping
        Payloads of each input stream, or values of each input of a circuit without clock.
    outputs : mapping
        Number of payloads of each output stream; zero for each output of a circuit without clock.
    operations, operation : `int`, `str`
        Number and kind of useful operations of the run.
    expected : mapping
        Outputs that `formats` computes. The others are only compared with the circuit before synthesis.
    masks : mapping
        Bits of an output that `expected` is valid for; all bits if the output is not named.
    pauses : mapping
        Cycles in which streams pause; see `streams.Pauses`.
    is_clocked : `bool`
        False for a combinational circuit.
    twin : `str`, optional
        Origin of `expected` in messages; `formats` without it.
    """

    name: str
    inputs: Mapping[str, Sequence[int]]
    outputs: Mapping[str, int]
    operations: int
    operation: str
    expected: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    masks: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    pauses: Pauses = field(default_factory=dict[str, Sequence[bool]])
    is_clocked: bool = True
    twin: str | None = None


def anda_pe(design: AndaPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups, without a gap. With skipping, two more runs leave out the zero planes of a token and of a block."""
    x = regroup(operands.activations, design.parameters.lanes)
    codes = regroup(operands.codes, design.parameters.lanes)
    each = [np.roll(codes, unit, axis=0) for unit in range(design.parameters.units)]
    weights = pack(np.concatenate(each, axis=1), design.parameters.weight_bits)
    runs: list[Stimulus] = []
    for m in (m for m in mantissa_bits if m <= design.parameters.max_mantissa_bits):
        tensor = design.parameters.format(m).encode(x)
        sums = np.array([design.parameters.compute(tensor, own)[0] for own in each])
        exponents = design.parameters.compute(tensor, codes)[1]
        planes = plane_stream(tensor, design.parameters.lanes)
        for suffix, sent in _skips(design, tensor, operands):
            # zero planes at the end are not shifted in, unless the midpoint follows them
            below = 0 if design.parameters.midpoint else sent[:, ::-1].argmax(axis=1)
            sent_words = (
                _without_skipped(planes, sent, design.parameters.lanes) if design.parameters.skipping else planes
            )
            inputs = {"activation": sent_words, "weights": weights}
            expected = {"result": _partial_sums(design, sums >> below, exponents + below)}
            runs.append(Stimulus(f"M={m}{suffix}", inputs, {"result": len(x)}, sums.shape[0] * x.size, "MAC", expected))
    return runs


def _partial_sums(design: AndaPE, sums: NDArray[np.int64], exponents: NDArray[np.int64]) -> list[int]:
    """Results ``[units, groups]`` as payloads of `partial_sum_layout`."""
    return pack_fields([(sums.T, design.parameters.partial_sum_bits), (exponents, 6)])


def _skips(design: AndaPE, tensor: AndaTensor, operands: Operands) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Suffix of a run's name, and the planes that are sent as bool ``[groups, M]``, for each way of skipping."""
    m = tensor.format.mantissa_bits
    every = np.ones((tensor.exponents.size, m), np.bool_)
    yield "", every
    if design.parameters.skipping:
        own = sent_planes(tensor, 1).reshape(-1, m)
        yield " skipping 1", own
        if operands.block_planes is not None and operands.lanes == design.parameters.lanes:
            yield f" skipping {BLOCK_TOKENS}", operands.block_planes[:, :m]


def _without_skipped(planes: Sequence[int], sent: NDArray[np.bool_], lanes: int) -> list[int]:
    """Payloads of the planes that are sent, with the number of skipped planes that follow each."""
    last, skipped = lanes + EXPONENT_BITS, lanes + EXPONENT_BITS + 1
    words: list[int] = []
    for group, mask in enumerate(sent):
        signs, *mantissas = planes[group * (len(mask) + 1) : (group + 1) * (len(mask) + 1)]
        places = np.flatnonzero(mask).tolist()
        words.append(signs)
        for place, following in pairwise([*places, len(mask)]):
            word = mantissas[place] & ~(1 << last) | (following == len(mask)) << last
            words.append(word | following - place - 1 << skipped)
    return words


def matrix_unit(design: MatrixUnit, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """One tile of the whole array; every column has its own weights."""
    lanes, rows, columns = design.parameters.lanes, design.parameters.rows, design.parameters.columns
    groups = max(len(operands.activations) // rows // 8 * 8, 8)
    x = np.resize(regroup(operands.activations, lanes), (rows, groups * lanes))
    codes = np.resize(regroup(operands.codes, lanes), (columns, groups * lanes)).T
    scales = np.resize(operands.scales, (groups, columns))
    weights = Int4Weights(np.ascontiguousarray(codes), np.ascontiguousarray(scales), group_size=lanes)
    runs: list[Stimulus] = []
    for m in (m for m in mantissa_bits if m <= design.parameters.max_mantissa_bits):
        tensor = AndaFormat(mantissa_bits=m, group_size=lanes).encode(x)
        inputs = {
            "planes": plane_rows_stream(tensor, rows, lanes),
            "weights": weight_stream(weights, columns, lanes, design.parameters.unit.weight_bits),
            "factors": factor_stream(weights, columns, lanes),
        }
        halves = fp_int_gemm(tensor, weights).view(np.uint16).T.astype(np.int64)
        work = rows * columns * groups * lanes
        runs.append(Stimulus(f"M={m}", inputs, {"outputs": columns}, work, "MAC", {"outputs": pack(halves, 16)}))
    return runs


def bpc_lane(design: BpcLane, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups. The exponent is only compared with the sign plane."""
    runs: list[Stimulus] = []
    for m, words, values, planes in _compressions(design, operands, mantissa_bits):
        whole = (1 << design.parameters.lanes + EXPONENT_BITS + 1) - 1
        plane = whole & ~(31 << design.parameters.lanes)
        masks = [plane if index % (m + 1) else whole for index in range(len(planes))]
        outputs = {"planes": len(planes)}
        runs.append(
            Stimulus(f"M={m}", {"group": words}, outputs, values, "value", {"planes": planes}, {"planes": masks})
        )
    return runs


def compressor(design: BitPlaneCompressor, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups of whole blocks."""
    return [
        Stimulus(
            f"M={m}", {"groups": words[:whole]}, {"planes": whole // design.parameters.rows * (m + 1)}, values, "value"
        )
        for m, words, values, _ in _compressions(design, operands, mantissa_bits)
        if (whole := len(words) // design.parameters.rows * design.parameters.rows)
    ]


def _compressions(
    design: BpcLane | BitPlaneCompressor, operands: Operands, mantissa_bits: Sequence[int]
) -> list[tuple[int, list[int], int, list[int]]]:
    """M, payloads of groups, number of values, and payloads of planes of a lane, for each M that the circuit supports."""
    x = np.ascontiguousarray(regroup(operands.activations, design.parameters.lanes))
    halves = pack(x.view(np.uint16).astype(np.int64), 16)
    found: list[tuple[int, list[int], int, list[int]]] = []
    for m in (m for m in mantissa_bits if m <= design.parameters.max_mantissa_bits):
        tensor = design.parameters.format(m).encode(x)
        bits = segment_planes(tensor, design.parameters.lanes)[:, 0]
        found.append(
            (
                m,
                [word | m << 16 * design.parameters.lanes for word in halves],
                x.size,
                _lane_planes(bits, tensor.exponents),
            )
        )
    return found


def _lane_planes(bits: NDArray[np.uint8], exponents: NDArray[np.uint8]) -> list[int]:
    """Planes ``[groups, M + 1, lanes]`` as payloads of `plane_layout`."""
    _, planes, lanes = bits.shape
    shared = exponents.reshape(-1).tolist()
    return [
        word | shared[index // planes] << lanes | (index % planes == planes - 1) << lanes + EXPONENT_BITS
        for index, word in enumerate(pack(bits.reshape(-1, lanes), 1))
    ]


def regroup(values: NDArray[Any], lanes: int) -> NDArray[Any]:
    """Values in groups of another size; values that do not fill a group are left out."""
    whole = values.size // lanes * lanes
    return np.ascontiguousarray(values.reshape(-1)[:whole].reshape(-1, lanes))


def fp16_multiplier(design: wiring.Component, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Products of activations and weights."""
    inputs = {"left": float_bits(operands.activations), "right": float_bits(operands.weights)}
    return [_vectors(inputs, ("product",), "product")]


def int_to_fp16(design: Any, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Dot products at each M, with the exponents of their groups."""
    runs: list[Stimulus] = []
    for m in mantissa_bits:
        tensor = AndaFormat(mantissa_bits=m, group_size=operands.lanes).encode(operands.activations)
        sums = (tensor.signed_integers().reshape(operands.codes.shape).astype(np.int64) * operands.codes).sum(axis=1)
        exponents = tensor.exponents.reshape(-1).astype(np.int64) - m
        inputs = {"value": sums.tolist(), "exponent": exponents.tolist()}
        runs.append(_vectors(inputs, ("half", "saturated"), "conversion", f"M={m}"))
    return runs


def fp32_adder(design: wiring.Component, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Additions of a running sum of products, as in an accumulator."""
    products = operands.activations.astype(np.float32) * operands.weights.astype(np.float32)
    sums = np.cumsum(products, axis=1, dtype=np.float32)
    left = np.concatenate([np.zeros((len(sums), 1), np.float32), sums[:, :-1]], axis=1)
    expected = {"sum": float_bits(left + products + np.float32(0))}
    return [_vectors({"left": float_bits(left), "right": float_bits(products)}, ("sum",), "sum", expected=expected)]


def fp32_to_fp16(design: wiring.Component, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Conversions of running sums of products."""
    products = operands.activations.astype(np.float32) * operands.weights.astype(np.float32)
    sums = np.cumsum(products, axis=1, dtype=np.float32)
    expected = {"half": float_bits(sums.astype(np.float16))}
    return [_vectors({"single": float_bits(sums)}, ("half", "saturated"), "conversion", expected=expected)]


def _vectors(
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    operation: str,
    name: str = "trace",
    expected: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Stimulus:
    count = len(next(iter(inputs.values())))
    return Stimulus(name, inputs, dict.fromkeys(outputs, 0), count, operation, expected, is_clocked=False)


def float_bits(values: NDArray[np.floating[Any]]) -> list[int]:
    """Bit patterns of FP16 or FP32 values, in C order."""
    words = np.uint16 if values.dtype == np.float16 else np.uint32
    return np.ascontiguousarray(values).view(words).reshape(-1).tolist()

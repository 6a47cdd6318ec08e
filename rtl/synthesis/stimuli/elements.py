"""Stimuli of the processing elements: the same dot products for all, and the expected sums."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ....formats import AndaFormat
from ....formats.activations.aligned import FignaFormat, IfpuFormat
from ....formats.checks import check_integer
from ....formats.processing_elements.aligned import WEIGHT_PLANES, weight_planes
from ....formats.processing_elements.scaled import scale_and_accumulate
from ...arithmetic.scaling import GroupAccumulator
from ...elements.fp_dot import FloatingDot
from ...elements.fp_pe import FpIntPE
from ...elements.integer_pe import TABLE_INPUTS, FiglutPE, FignaPE, IfpuPE
from ...elements.scaled_pe import ScaledAndaPE
from ...simulation.operands import plane_stream
from ...simulation.packing import pack, pack_fields
from .circuits import Stimulus, float_bits, regroup
from .operands import Operands

GROUPS_PER_OUTPUT = 8
"""Groups that one output accumulates: 512 channels with 64 lanes."""

Integers = NDArray[np.int64]
_Item = TypeVar("_Item")


def floating_dot(design: FloatingDot, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups, with weights in FP16 or as codes, and an output after every `GROUPS_PER_OUTPUT` groups.

    The addend is +0: the bits above the other fields are zero.
    """
    dot = design.parameters
    weights = operands.codes if dot.weight_bits else operands.weights
    steps = operands.lanes * GROUPS_PER_OUTPUT // dot.dot_width
    shape = (-1, steps, dot.dot_width)
    sums = dot.compute(operands.activations.reshape(shape), weights.reshape(shape))
    words = _in_turn(_float_steps(operands, dot.dot_width, dot.weight_bits, steps), steps, dot.interleave)
    expected = {"result": float_bits(sums)}
    return [Stimulus("trace", {"operands": words}, {"result": len(sums)}, operands.codes.size, "MAC", expected)]


def fp_int_pe(design: FpIntPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups in order, each with its FP16 scale."""
    dot = design.parameters
    steps = operands.lanes // dot.dot_width
    shape = (-1, steps, dot.dot_width)
    sums = dot.compute(operands.activations.reshape(shape), operands.codes.reshape(shape))
    totals, _ = scale_and_accumulate(_per_output(sums), _per_output(operands.scales))
    words = _float_steps(operands, dot.dot_width, dot.weight_bits, steps)
    # the groups of an output follow each other; the steps of a group alternate with those of the other outputs
    groups = _in_turn([words[at : at + steps] for at in range(0, len(words), steps)], GROUPS_PER_OUTPUT, dot.interleave)
    inputs = {
        "operands": _in_turn([word for group in groups for word in group], steps, dot.interleave),
        "scales": _in_turn(_scale_words(operands), GROUPS_PER_OUTPUT, dot.interleave),
    }
    return [_scaled("trace", inputs, totals, operands)]


def figna_pe(design: FignaPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups, aligned to the mantissa length of the circuit."""
    _check_group(operands, design.parameters.group_size)
    bits = design.parameters.mantissa_bits
    tensor = FignaFormat(mantissa_bits=bits, group_size=operands.lanes).encode(operands.activations)
    units = operands.of_units(design.parameters.units)
    lanes = design.parameters.lanes
    integers, *codes = (
        _chunks(values, operands.lanes, lanes) for values in (tensor.integers, *(unit.codes for unit in units))
    )
    groups, steps, _ = integers.shape
    fields = [
        (integers.reshape(-1, lanes), bits + 1),
        *[(own.reshape(-1, lanes), design.parameters.weight_bits) for own in codes],
        (np.repeat(tensor.exponents.ravel().astype(np.int64) + 15 - bits, steps), 6),
        (_closes(groups, steps), 1),
    ]
    totals = [design.parameters.compute(*_aligned(tensor, unit)) for unit in units]
    inputs = {"operands": pack_fields(fields), "scales": _scale_words(*units)}
    return [_scaled("trace", inputs, np.stack(totals, axis=1), operands)]


def ifpu_pe(design: IfpuPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups; each chunk of lanes with the bit-planes of its weights."""
    _check_group(operands, design.parameters.group_size)
    bits = design.parameters.mantissa_bits
    tensor = IfpuFormat(mantissa_bits=bits, group_size=operands.lanes).encode(operands.activations)
    chunks = _chunks(tensor.integers, operands.lanes, design.parameters.lanes)
    units = operands.of_units(design.parameters.units)
    codes = [_chunks(unit.codes, operands.lanes, design.parameters.lanes) for unit in units]
    planes = np.concatenate([weight_planes(own.astype(np.int8)).swapaxes(-1, -2) for own in codes], axis=-1)
    words = _serial_words(design, chunks, planes, tensor.exponents, bits)
    totals = [design.parameters.compute(*_aligned(tensor, unit)) for unit in units]
    inputs = {"operands": words, "scales": _scale_words(*units)}
    return [_scaled("trace", inputs, np.stack(totals, axis=1), operands)]


def figlut_pe(design: FiglutPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups; each output has the codes of another group."""
    _check_group(operands, design.group_size)
    bits = design.mantissa_bits
    tensor = FignaFormat(mantissa_bits=bits, group_size=operands.lanes).encode(operands.activations)
    integers = tensor.integers.reshape(operands.codes.shape).astype(np.int64)
    codes = np.stack([np.roll(operands.codes, shift, axis=0) for shift in range(design.outputs)], axis=1)
    chunks = _chunks(integers, operands.lanes, TABLE_INPUTS)
    planes = weight_planes(codes).reshape(len(codes), design.outputs, -1, TABLE_INPUTS, WEIGHT_PLANES)
    words = _serial_words(design, chunks, planes.transpose(0, 2, 4, 1, 3), tensor.exponents, bits)
    sums = 2 * (integers[:, None] * codes).sum(axis=-1)
    fields = pack(sums, design.bits)
    mask = [(1 << design.bits * design.outputs) - 1] * len(sums)
    run = Stimulus(
        "trace", {"operands": words}, {"sums": len(sums)}, codes.size, "MAC", {"sums": fields}, {"sums": mask}
    )
    return [run]


def group_accumulator(design: GroupAccumulator, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Dot products of Anda groups, one in M + 1 cycles."""
    runs: list[Stimulus] = []
    for m in mantissa_bits:
        sums, exponents = _anda_sums(operands, m)
        inputs = {"groups": pack_fields([(sums, design.bits), (exponents, 6)]), "scales": _scale_words(operands)}
        waits = {"groups": [*[True] * m, False]}
        runs.append(_scaled(f"M={m}", inputs, _totals(operands, sums, exponents), operands, waits))
    return runs


def scaled_anda_pe(design: ScaledAndaPE, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups in order, each with its FP16 scale."""
    element = design.parameters
    runs: list[Stimulus] = []
    for m in (m for m in mantissa_bits if m <= element.max_mantissa_bits):
        tensor = element.format(m).encode(operands.activations)
        units = operands.of_units(element.units)
        inputs = {
            "activation": plane_stream(tensor, element.lanes),
            "weights": pack(np.concatenate([unit.codes for unit in units], axis=1), element.weight_bits),
            "scales": _scale_words(*units),
        }
        totals = [_totals(unit, *element.compute(tensor, unit.codes)) for unit in units]
        runs.append(_scaled(f"M={m}", inputs, np.stack(totals, axis=1), operands))
    return runs


def _scaled(
    name: str,
    inputs: dict[str, list[int]],
    totals: NDArray[np.float32],
    operands: Operands,
    pauses: dict[str, list[bool]] | None = None,
) -> Stimulus:
    """Run of an element with the FP32 sums over groups as its outputs ``[outputs]`` or ``[outputs, units]``."""
    expected = {"result": float_bits(totals)}
    work = operands.codes.size * totals.size // len(totals)
    return Stimulus(name, inputs, {"result": totals.size}, work, "MAC", expected, pauses=pauses or {})


def _anda_sums(operands: Operands, mantissa_bits: int) -> tuple[Integers, Integers]:
    """Integer dot products of the groups, and their exponents minus M."""
    tensor = AndaFormat(mantissa_bits=mantissa_bits, group_size=operands.lanes).encode(operands.activations)
    integers = tensor.signed_integers().reshape(operands.codes.shape).astype(np.int64)
    return (integers * operands.codes).sum(axis=1), tensor.exponents.reshape(-1).astype(np.int64) - mantissa_bits


def _totals(operands: Operands, sums: Integers, exponents: Integers) -> NDArray[np.float32]:
    """FP32 sum of each output's groups, from their dot products and exponents minus M."""
    partials = np.ldexp(sums.astype(np.float64), exponents - 14)
    return scale_and_accumulate(_per_output(partials), _per_output(operands.scales))[0]


def _aligned(tensor: Any, operands: Operands) -> tuple[Any, Any, Any, Any]:
    """Integers, exponents, codes and scales ``[outputs, groups, ...]``, the operands of `aligned_dot`."""
    shape = (-1, GROUPS_PER_OUTPUT, operands.lanes)
    exponents = _per_output(tensor.exponents.ravel())
    return tensor.integers.reshape(shape), exponents, operands.codes.reshape(shape), _per_output(operands.scales)


def _per_output(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(-1, GROUPS_PER_OUTPUT)


def _check_group(operands: Operands, group_size: int) -> None:
    """Refuse a circuit whose accumulator is too narrow for the groups of the trace."""
    check_integer("group_size", group_size, operands.lanes)


def _chunks(values: NDArray[Any], group_size: int, lanes: int) -> NDArray[Any]:
    """Groups of values as ``[groups, steps, lanes]``; the last step of each is filled with zeros."""
    groups = values.reshape(-1, group_size)
    padded = np.pad(groups, ((0, 0), (0, -groups.shape[1] % lanes)))
    return padded.reshape(len(groups), -1, lanes)


def _closes(groups: int, steps: int) -> NDArray[np.int64]:
    return np.tile(np.arange(steps) == steps - 1, groups).astype(np.int64)


def _float_steps(operands: Operands, dot_width: int, weight_bits: int, steps: int) -> list[int]:
    """Payloads of `operands_layout`: `dot_width` activations and weights, and 1 in the last of `steps` steps."""
    halves = regroup(operands.activations, dot_width).view(np.uint16)
    weights = (
        regroup(operands.codes, dot_width) if weight_bits else regroup(operands.weights, dot_width).view(np.uint16)
    )
    last = _closes(len(halves) // steps, steps)
    return pack_fields([(halves, 16), (weights, weight_bits or 16), (last, 1)])


def _serial_words(
    design: IfpuPE | FiglutPE, chunks: Integers, planes: NDArray[np.uint8], exponents: NDArray[Any], bits: int
) -> list[int]:
    """Payloads of chunks ``[groups, chunks, lanes]``, one for each plane of the weights ``[groups, chunks, 4, ...]``."""
    groups, count, lanes = chunks.shape
    steps = count * WEIGHT_PLANES
    start = np.repeat(-chunks.astype(np.int64).sum(axis=(1, 2)), steps)
    fields = [
        (np.repeat(chunks.reshape(-1, lanes), WEIGHT_PLANES, axis=0), bits + 1),
        (planes.reshape(groups * steps, -1), 1),
        (np.repeat(exponents.ravel().astype(np.int64) + 14 - bits, steps), 6),
        (_closes(groups, steps), 1),
        (np.tile(np.arange(WEIGHT_PLANES), groups * count), 2),
        (start, len(design.operands.payload.start)),
    ]
    return pack_fields(fields)


def _in_turn(sequence: list[_Item], length: int, outputs: int) -> list[_Item]:
    """Interleave each `outputs` runs of `length` items: one item of each run in turn."""
    block = length * outputs
    return [
        sequence[start + run * length + index]
        for start in range(0, len(sequence), block)
        for index in range(length)
        for run in range(outputs)
    ]


def _scale_words(*units: Operands) -> list[int]:
    """Scales as payloads of `SCALE`, one per group; of several units in turn."""
    scales = np.stack([unit.scales for unit in units], axis=1).view(np.uint16)
    last = _closes(len(scales) // GROUPS_PER_OUTPUT, GROUPS_PER_OUTPUT).repeat(len(units))
    return pack_fields([(scales.ravel(), 16), (last, 1)])

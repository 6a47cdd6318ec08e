"""Memory of the accelerator: written from operands before a run, read after the run."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..anda.format import AndaTensor
from ..errors import InputError
from ..gemm.operands import check_operands
from ..weights.int4 import Int4Weights
from .compiler import Layer, Region, Schedule, schedule
from .config import AcceleratorConfig
from .instructions import Buffer
from .layout import (
    Bits,
    activation_rows,
    factor_rows,
    pack_rows,
    plane_masks,
    read_activation_rows,
    read_result_rows,
    unpack_rows,
    weight_rows,
)

_MOST_GROUPS_PER_FACTOR = 63


def compile_gemms(
    machine: AcceleratorConfig,
    activations: AndaTensor,
    weights: Sequence[Int4Weights],
    *,
    mantissa_bits: Sequence[int] = (),
    result_mantissa_bits: int | None = None,
) -> tuple[Schedule, NDArray[np.uint8]]:
    """Compile one GeMM or a chain of GeMMs, and fill the memory with their operands.

    Parameters
    ----------
    machine
        Accelerator; its lanes must divide the activation group and the weight groups.
    activations
        ``[tokens, channels]``.
    weights
        Weights ``[channels, outputs]`` of each GeMM.
    mantissa_bits
        M of the compressed outputs of each GeMM except the last.
    result_mantissa_bits
        M of the last outputs, if they are compressed; None leaves them FP16.

    Returns
    -------
    schedule, memory
        The memory is uint8 ``[rows, memory_bits / 8]``.

    Raises
    ------
    InputError
        The operands do not fit each other or the machine.
    """
    if len(mantissa_bits) != max(len(weights) - 1, 0):
        raise InputError(
            f"mantissa_bits: {len(mantissa_bits)} given for {len(weights)} GeMMs; give one for each GeMM except the last"
        )
    wanted = machine.format(activations.format.mantissa_bits).reconstruct
    if activations.format.reconstruct != wanted:
        found = activations.format.reconstruct
        raise InputError(
            f'activations: have reconstruct="{found}"; encode them with "{wanted}", which the machine computes'
        )
    if weights:
        check_operands(activations, weights[0], "fp16")
    widths = [activations.format.mantissa_bits, *mantissa_bits]
    groups = [activations.format.group_size] + [machine.lanes] * len(mantissa_bits)
    layers = [_layer(machine, *each) for each in zip(weights, widths, groups, strict=True)]
    plan = schedule(machine, activations.shape[0], layers, result_mantissa_bits)
    memory = np.zeros((plan.memory_rows, machine.memory_bits // 8), np.uint8)
    _write_activations(plan, memory, activations)
    for regions, layer, matrix in zip(plan.weights, layers, weights, strict=True):
        codes, factors = weight_rows(matrix, machine), factor_rows(matrix, machine, layer.groups_per_factor)
        for strip, (code_region, factor_region) in enumerate(regions):
            _write(memory, machine, code_region, codes[strip])
            _write(memory, machine, factor_region, factors[strip])
    return plan, memory


def _layer(machine: AcceleratorConfig, weights: Int4Weights, mantissa_bits: int, group_size: int) -> Layer:
    lanes = machine.lanes
    if weights.group_size % lanes or group_size % lanes:
        segment = min(weights.group_size, group_size)
        raise InputError(f"lanes: {lanes} do not divide groups of {segment}; use a machine with {segment} lanes")
    if weights.offsets is not None and not machine.affine:
        raise InputError("weights: have offsets; choose an affine machine")
    sharing = weights.group_size // lanes
    return Layer(
        weights.codes.shape[0],
        weights.codes.shape[1],
        mantissa_bits,
        groups_per_factor=sharing if sharing <= _MOST_GROUPS_PER_FACTOR else 1,
        unsigned_codes=int(weights.codes.max()) > 7,
    )


def program_planes(plan: Schedule, activations: Sequence[AndaTensor]) -> list[NDArray[np.int64]]:
    """Number of mantissa planes that each group sends, ``[blocks, groups]`` for each ``gemm`` of a program, in order.

    With zero-plane skipping the cycles depend on it. `activations` holds the activations of each layer.
    """
    rows, lanes = plan.machine.rows, plan.machine.lanes
    counts: list[NDArray[np.int64]] = []
    for layer, tensor in zip(plan.layers, activations, strict=True):
        masks = plane_masks(tensor, rows, lanes)[:, : -(-layer.channels // lanes)]
        counts.append(1 + (masks if plan.machine.skipping else np.ones_like(masks)).sum(axis=-1))
    return [
        counts[index][chunk.first_block : chunk.first_block + chunk.blocks]
        for chunk in plan.chunks
        for index, strips in enumerate(plan.weights)
        for _ in strips
    ]


def read_outputs(plan: Schedule, memory: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Read FP16 outputs ``[tokens, outputs]`` after a run."""
    machine = plan.machine
    chunks = [
        np.concatenate([read_result_rows(_read(memory, machine, strip)) for strip in chunk.outputs], axis=1)
        for chunk in plan.chunks
    ]
    return np.ascontiguousarray(np.concatenate(chunks)[: plan.tokens, : plan.layers[-1].outputs])


def read_tensor(plan: Schedule, memory: NDArray[np.uint8]) -> AndaTensor:
    """Read compressed outputs ``[tokens, outputs]``, in groups of `machine.lanes`, after a run.

    The channels of the last group past the outputs are zeros.
    """
    machine, mantissa_bits = plan.machine, plan.result_mantissa_bits
    assert mantissa_bits is not None
    parts: list[tuple[Bits, Bits]] = []
    for chunk in plan.chunks:
        planes, exponents = (_read(memory, machine, region) for region in chunk.outputs)
        parts.append(
            (
                planes.reshape(chunk.blocks, -1, mantissa_bits + 1, planes.shape[1]),
                exponents.reshape(chunk.blocks, -1, exponents.shape[1]),
            )
        )
    planes, exponents = (np.concatenate(each) for each in zip(*parts, strict=True))
    shape = plan.tokens, plan.layers[-1].outputs
    tensor = read_activation_rows(planes, exponents, machine, shape, mantissa_bits)
    if not ((tensor.exponents >= 1) & (tensor.exponents <= 30)).all():
        raise InputError("memory: holds a shared exponent outside 1..30; run the program on it first")
    return tensor


def _write_activations(plan: Schedule, memory: NDArray[np.uint8], activations: AndaTensor) -> None:
    machine = plan.machine
    planes, exponents = activation_rows(activations, machine)
    for chunk in plan.chunks:
        blocks = slice(chunk.first_block, chunk.first_block + chunk.blocks)
        for region, rows in zip(chunk.activations, (planes, exponents), strict=True):
            _write(memory, machine, region, rows[blocks].reshape(region.rows, -1))


def _write(memory: NDArray[np.uint8], machine: AcceleratorConfig, region: Region, bits: Bits) -> None:
    rows = pack_rows(bits, machine.memory_bits)
    memory[region.memory : region.memory + len(rows)] = rows


def _read(memory: NDArray[np.uint8], machine: AcceleratorConfig, region: Region) -> Bits:
    count = machine.memory_rows(Buffer(region.buffer), region.rows)
    return unpack_rows(memory[region.memory : region.memory + count], machine.row_bits[region.buffer], region.rows)

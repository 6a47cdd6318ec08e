"""Layout of the accelerator's buffers and memory, as rows of bits.

Bit arrays are uint8 ``[..., bits]`` of zeros and ones, lowest bit first. Planes and exponents have the layout of Anda
(arXiv 2411.15982), section III-C, with one token per row of the array side by side.
"""

import numpy as np
from numpy.typing import NDArray

from ..anda.bitplanes import pack_bits, unpack_bits
from ..anda.format import EXPONENT_BITS, AndaTensor
from ..anda.plane_mask import MASK_BITS
from ..latency.array import WEIGHT_LOAD_CYCLES
from ..weights.int4 import BITS as CODE_BITS
from ..weights.int4 import Int4Weights
from .config import AcceleratorConfig

Bits = NDArray[np.uint8]


def pack_rows(bits: Bits, memory_bits: int) -> NDArray[np.uint8]:
    """Pack buffer rows ``[rows, bits]`` into memory rows, uint8 ``[memory rows, memory_bits / 8]``.

    A memory row holds as many whole buffer rows as fit, the first one in the lowest bits, and zeros above.
    """
    rows, width = bits.shape
    packed = memory_bits // width
    memory_rows = -(-rows // packed)
    padded = np.zeros((memory_rows * packed, width), np.uint8)
    padded[:rows] = bits
    memory = np.zeros((memory_rows, memory_bits), np.uint8)
    memory[:, : packed * width] = padded.reshape(memory_rows, packed * width)
    return np.packbits(memory, axis=1, bitorder="little")


def unpack_rows(memory: NDArray[np.uint8], width: int, rows: int) -> Bits:
    """Unpack `rows` rows of `width` bits that `pack_rows` packed."""
    bits = np.unpackbits(memory, axis=1, bitorder="little")
    packed = bits.shape[1] // width
    return bits[:, : packed * width].reshape(-1, width)[:rows]


def segment_planes(tensor: AndaTensor, lanes: int) -> Bits:
    """Planes of a tensor, sign plane first, in segments of `lanes` channels: ``[..., segments, M + 1, lanes]``."""
    group_size, mantissa_bits = tensor.format.group_size, tensor.format.mantissa_bits
    signs = unpack_bits(tensor.signs, group_size)[..., None, :]
    planes = unpack_bits(tensor.planes, group_size)
    bits = np.concatenate([signs, planes], axis=-2)
    *leading, groups, _, _ = bits.shape
    bits = bits.reshape(*leading, groups, mantissa_bits + 1, group_size // lanes, lanes)
    return bits.swapaxes(-3, -2).reshape(*leading, -1, mantissa_bits + 1, lanes)


def segment_exponents(tensor: AndaTensor, lanes: int) -> NDArray[np.uint8]:
    """Shared exponent of each segment of a tensor: ``[..., segments]``."""
    return np.repeat(tensor.exponents, tensor.format.group_size // lanes, axis=-1)


def token_blocks(planes: Bits, exponents: NDArray[np.uint8], rows: int) -> tuple[Bits, NDArray[np.uint8]]:
    """Arrange tokens in blocks of `rows`; the last block is padded with zeros.

    Planes ``[tokens, segments, M + 1, lanes]`` become ``[blocks, segments, M + 1, rows, lanes]``, exponents
    ``[tokens, segments]`` become ``[blocks, segments, rows]``.
    """
    missing = -len(planes) % rows
    planes = np.pad(planes, ((0, missing), (0, 0), (0, 0), (0, 0)))
    exponents = np.pad(exponents, ((0, missing), (0, 0)), constant_values=1)
    planes = planes.reshape(-1, rows, *planes.shape[1:]).transpose(0, 2, 3, 1, 4)
    return planes, exponents.reshape(-1, rows, exponents.shape[1]).swapaxes(1, 2)


def sent_planes(bits: Bits) -> NDArray[np.bool_]:
    """Mask of the planes that zero-plane skipping sends, bool ``[..., M + 1]``, of blocks ``[..., M + 1, rows, lanes]``.

    It sends the sign plane, the first mantissa plane, and every plane with a one.
    """
    sent: NDArray[np.bool_] = np.asarray(bits.any(axis=(-1, -2)))
    sent[..., :2] = True
    return sent


def plane_masks(tensor: AndaTensor, rows: int, lanes: int) -> NDArray[np.bool_]:
    """Plane masks of blocks of `rows` tokens: bool ``[blocks, segments, M - 1]``, from the second mantissa plane on."""
    planes, _ = token_blocks(segment_planes(tensor, lanes), segment_exponents(tensor, lanes), rows)
    return sent_planes(planes)[..., 2:]


def activation_rows(tensor: AndaTensor, machine: AcceleratorConfig) -> tuple[Bits, Bits]:
    """Rows of planes ``[blocks, segments, M + 1, bits]`` and of exponents ``[blocks, segments, bits]``.

    Segments of only padding are left out. With zero-plane skipping, a row of exponents also holds the plane mask of the
    block, in the bits above the exponents.
    """
    segments = slice(-(-tensor.shape[-1] // machine.lanes))
    planes, exponents = token_blocks(
        segment_planes(tensor, machine.lanes)[:, segments],
        segment_exponents(tensor, machine.lanes)[:, segments],
        machine.rows,
    )
    fields = integer_bits(exponents, EXPONENT_BITS)
    if machine.skipping:
        masks = sent_planes(planes)[..., 2:].astype(np.uint8)
        fields = np.concatenate([fields, np.pad(masks, ((0, 0), (0, 0), (0, MASK_BITS - masks.shape[-1])))], axis=-1)
    return planes.reshape(*planes.shape[:3], -1), fields


def read_activation_rows(
    planes: Bits, exponents: Bits, machine: AcceleratorConfig, shape: tuple[int, int], mantissa_bits: int
) -> AndaTensor:
    """Tensor ``[tokens, channels]`` in groups of `machine.lanes`, from the rows that `activation_rows` made."""
    tokens, _ = shape
    blocks, groups = planes.shape[:2]
    bits = planes.reshape(blocks, groups, mantissa_bits + 1, machine.rows, machine.lanes)
    words = pack_bits(np.ascontiguousarray(bits.transpose(0, 3, 1, 2, 4)))
    words = words.reshape(blocks * machine.rows, *words.shape[2:])[:tokens]
    fields = exponents[..., : machine.rows * EXPONENT_BITS].reshape(blocks, groups, machine.rows, EXPONENT_BITS)
    shared = np.packbits(fields, axis=-1, bitorder="little")[..., 0].swapaxes(1, 2).reshape(-1, groups)[:tokens]
    signs, mantissas = np.ascontiguousarray(words[:, :, 0]), np.ascontiguousarray(words[:, :, 1:])
    return AndaTensor(machine.format(mantissa_bits), shape, signs, mantissas, np.ascontiguousarray(shared))


def weight_rows(weights: Int4Weights, machine: AcceleratorConfig) -> Bits:
    """Rows of weights ``[output groups, rows, bits]``, ordered by tile, then segment; a segment has four rows.

    A segment holds its 4-bit codes column by column, and within a column lane by lane.
    """
    channels, outputs = weights.codes.shape
    codes = np.pad(weights.codes, ((0, -channels % machine.lanes), (0, -outputs % machine.lanes)))
    segments, tiles = codes.shape[0] // machine.lanes, codes.shape[1] // machine.columns
    codes = codes.reshape(segments, machine.lanes, tiles, machine.columns).transpose(2, 0, 3, 1)
    bits = integer_bits(codes.reshape(tiles, segments, -1), CODE_BITS)
    return bits.reshape(tiles // machine.tiles, machine.tiles * segments * WEIGHT_LOAD_CYCLES, -1)


def factor_rows(weights: Int4Weights, machine: AcceleratorConfig, groups_per_factor: int) -> Bits:
    """Rows of factors ``[output groups, rows, bits]``, ordered by tile; one row serves `groups_per_factor` segments.

    A row holds the scale of each column, and on an affine machine also the offsets.
    """
    channels, outputs = weights.codes.shape
    first = np.arange(0, -(-channels // machine.lanes), groups_per_factor) * machine.lanes // weights.group_size
    halves = [weights.scales[first]]
    if machine.affine:
        halves.append(np.zeros_like(halves[0]) if weights.offsets is None else weights.offsets[first])
    factors = np.pad(np.stack(halves), ((0, 0), (0, 0), (0, -outputs % machine.lanes))).view(np.uint16)
    tiles = factors.shape[2] // machine.columns
    factors = factors.reshape(len(halves), len(first), tiles, machine.columns).transpose(2, 1, 0, 3)
    bits = integer_bits(factors.reshape(tiles, len(first), -1), 16)
    return bits.reshape(tiles // machine.tiles, machine.tiles * len(first), -1)


def read_result_rows(bits: Bits) -> NDArray[np.float16]:
    """FP16 results ``[..., lanes]`` from rows of bits ``[..., 16 lanes]``."""
    return np.packbits(bits, axis=-1, bitorder="little").view("<f2").astype(np.float16, copy=False)


def integer_bits(values: NDArray[np.integer], bits: int) -> Bits:
    """Two's complement bits ``[..., n * bits]`` of integers ``[..., n]``."""
    fields = (values.astype(np.int32)[..., None] >> np.arange(bits, dtype=np.int32) & 1).astype(np.uint8)
    return fields.reshape(*values.shape[:-1], values.shape[-1] * bits)

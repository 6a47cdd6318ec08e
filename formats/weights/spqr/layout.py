"""Memory layouts of SpQR: blocks of the paper, and 64-bit words and sparse lists of the released GPU kernel.

Sources: Dettmers et al., SpQR (arXiv 2306.03078), section 4; the kernel's layout from its released inference library.
A tile is 16 output channels by 16 input channels. Both layouts store codes by output channel.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ..bit_packing import check_codes, from_bits, to_bits

TILE = 16
KERNEL_BITS = 3
MAX_KERNEL_CHANNELS = 1 << 15
"""Limit of the kernel, which reads columns as signed 16-bit integers."""

_ZERO_SHIFT, _BYTE_SHIFT = np.uint64(3), np.uint64(54)
_CODE_SHIFTS = np.uint64(6) + np.uint64(KERNEL_BITS) * np.arange(TILE, dtype=np.uint64)
_OCTET_SHIFTS = np.uint64(8) * (np.arange(TILE, dtype=np.uint64) // np.uint64(2))
"""Places in the second-order word of the bytes that the rows of a tile hold."""


class KernelTiles(NamedTuple):
    """Content of the words of the kernel."""

    codes: NDArray[np.uint8]
    """Weight codes ``[out, in]``."""
    scale_codes: NDArray[np.uint8]
    """Codes of the scales ``[out, in / 16]``."""
    zero_codes: NDArray[np.uint8]
    """Codes of the zero points ``[out, in / 16]``."""
    second_order: NDArray[np.float16]
    """``[out / 16, in / 16, 4]``: scale of scale, zero of scale, scale of zero, zero of zero."""


def pack_words(
    codes: ArrayLike,
    scale_codes: ArrayLike,
    zero_codes: ArrayLike,
    *,
    scale_of_scale: ArrayLike,
    zero_of_scale: ArrayLike,
    scale_of_zero: ArrayLike,
    zero_of_zero: ArrayLike,
) -> NDArray[np.uint64]:
    """Pack 3-bit weights with 3-bit statistics into words of the kernel, one for each tile and output channel.

    ======  ==================================================================================
    bits    content of the word of row k of a tile
    ======  ==================================================================================
    0-2     scale code
    3-5     zero code
    6-53    16 weight codes, code j at bit 6 + 3 j
    54-61   byte ``k // 2`` of the tile's second-order word
    62-63   0
    ======  ==================================================================================

    The second-order word holds four FP16 numbers: scale of scale, scale of zero, zero of scale, zero of zero, from the
    least significant bits up. This takes 4 bits per weight; the formula of the paper gives 3.625.

    Parameters
    ----------
    codes
        ``[out, in]``, in 0..7; both lengths are multiples of 16.
    scale_codes, zero_codes
        ``[out, in / 16]``, in 0..7.
    scale_of_scale, zero_of_scale, scale_of_zero, zero_of_zero
        ``[out / 16, in / 16]`` or a number; converted to FP16.

    Returns
    -------
    uint64 ``[out / 16, in / 16, 16]``: row tile, column tile, row in the tile.

    Raises
    ------
    InputError
        A shape does not fit, or a code is out of range.

    Examples
    --------
    >>> row = [0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 0]
    >>> words = pack_words(
    ...     [row] * 16,
    ...     [[5]] * 16,
    ...     [[2]] * 16,
    ...     scale_of_scale=0.01,
    ...     zero_of_scale=-1.5,
    ...     scale_of_zero=0.25,
    ...     zero_of_zero=2.0,
    ... )
    >>> words.shape
    (1, 1, 16)
    >>> [hex(word) for word in words[0, 0, :3]]
    ['0x7c14e5dfeb1a215', '0x7c14e5dfeb1a215', '0x8414e5dfeb1a215']
    >>> hex(second_order_words([0.01, -1.5, 0.25, 2.0]))
    '0x4000be003400211f'
    """
    weights = _fields("codes", codes)
    if weights.ndim != 2 or weights.shape[0] % TILE or weights.shape[1] % TILE:
        raise InputError(f"codes: have shape {list(weights.shape)}; give [out, in] with multiples of {TILE}")
    rows, columns = weights.shape[0] // TILE, weights.shape[1] // TILE
    words = np.bitwise_or.reduce(weights.reshape(rows, TILE, columns, TILE) << _CODE_SHIFTS, axis=-1)
    words |= _statistics("scale_codes", scale_codes, words.shape)
    words |= _statistics("zero_codes", zero_codes, words.shape) << _ZERO_SHIFT
    numbers = [np.asarray(n, np.float16) for n in (scale_of_scale, zero_of_scale, scale_of_zero, zero_of_zero)]
    second_order = second_order_words(np.stack(np.broadcast_arrays(*numbers, np.empty((rows, columns)))[:4], axis=-1))
    words |= (second_order[:, None] >> _OCTET_SHIFTS[:, None] & np.uint64(0xFF)) << _BYTE_SHIFT
    return np.ascontiguousarray(words.transpose(0, 2, 1))


def _fields(name: str, codes: ArrayLike) -> NDArray[np.uint64]:
    return check_codes(name, np.asarray(codes), KERNEL_BITS).astype(np.uint64)


def _statistics(name: str, codes: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Codes of one statistic as ``[out / 16, 16, in / 16]``, the shape of the words."""
    rows, _, columns = shape
    fields = _fields(name, codes)
    if fields.shape != (rows * TILE, columns):
        raise InputError(f"{name}: have shape {list(fields.shape)}; give {[rows * TILE, columns]}")
    return fields.reshape(shape)


def unpack_words(words: NDArray[np.uint64]) -> KernelTiles:
    """Unpack words that `pack_words` packed."""
    rows, columns, _ = words.shape
    by_output = words.transpose(0, 2, 1).reshape(rows * TILE, columns)
    low = np.uint64((1 << KERNEL_BITS) - 1)
    codes = (by_output[..., None] >> _CODE_SHIFTS & low).reshape(rows * TILE, columns * TILE)
    octets = (words[..., ::2] >> _BYTE_SHIFT & np.uint64(0xFF)).astype(np.uint8)
    numbers = np.ascontiguousarray(octets).view("<f2").astype(np.float16)[..., [0, 2, 1, 3]]
    scale_codes, zero_codes = by_output & low, by_output >> _ZERO_SHIFT & low
    return KernelTiles(codes.astype(np.uint8), scale_codes.astype(np.uint8), zero_codes.astype(np.uint8), numbers)


def second_order_words(numbers: ArrayLike) -> NDArray[np.uint64]:
    """Second-order words of ``[..., 4]``: scale of scale, zero of scale, scale of zero, zero of zero."""
    ordered = np.asarray(numbers, "<f2")[..., [0, 2, 1, 3]]
    return np.ascontiguousarray(ordered).view("<u8")[..., 0].astype(np.uint64)


def pack_outliers(columns: ArrayLike, values: ArrayLike) -> NDArray[np.uint32]:
    """Outlier words of the kernel: FP16 value in the high 16 bits, column in the low 16 bits.

    >>> hex(pack_outliers([4097], [-0.375])[0])
    '0xb6001001'

    Raises
    ------
    InputError
        A column is beyond 32767, which the kernel would read as negative.
    """
    indices = np.asarray(columns)
    if indices.size and not (indices.min() >= 0 and indices.max() < MAX_KERNEL_CHANNELS):
        raise InputError(f"columns: reach {indices.max()}; give columns of at most {MAX_KERNEL_CHANNELS - 1}")
    bits = np.asarray(values, np.float16).view(np.uint16).astype(np.uint32)
    return bits << np.uint32(16) | indices.astype(np.uint32)


def unpack_outliers(words: NDArray[np.uint32]) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
    """Columns and values of words that `pack_outliers` packed."""
    return words.astype(np.uint16), (words >> np.uint32(16)).astype(np.uint16).view(np.float16)


class Ptcsr(NamedTuple):
    """Padded tiled CSR: blocks of 16 rows, each padded to the longest row of its block, with interleaved entries."""

    block_offsets: NDArray[np.uint32]
    """First entry of each block, ``[blocks + 1]``."""
    words: NDArray[np.uint32]
    """Outlier words; entry e of a block belongs to row ``16 * block + e % 16``. Padding words are 0."""


def to_ptcsr(row_offsets: NDArray[np.uint32], words: NDArray[np.uint32]) -> Ptcsr:
    """Pad outlier words in CSR order; the number of rows must be a multiple of 16."""
    if len(row_offsets) % TILE != 1:
        raise InputError(f"row_offsets: have {len(row_offsets) - 1} rows; give a multiple of {TILE}")
    starts = row_offsets.astype(np.int64)
    counts = np.diff(starts)
    longest = counts.reshape(-1, TILE).max(axis=1)
    block_offsets = np.concatenate([[0], np.cumsum(longest * TILE)])
    rows = np.repeat(np.arange(len(counts)), counts)
    position = np.arange(len(words)) - starts[rows]
    padded = np.zeros(block_offsets[-1], np.uint32)
    padded[block_offsets[rows // TILE] + position * TILE + rows % TILE] = words
    return Ptcsr(block_offsets.astype(np.uint32), padded)


def from_ptcsr(layout: Ptcsr) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Row offsets and outlier words in CSR order, without padding."""
    starts = layout.block_offsets.astype(np.int64)
    block = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    rows = block * TILE + (np.arange(len(layout.words)) - starts[block]) % TILE
    filled = layout.words != 0
    order = np.argsort(rows[filled], kind="stable")
    counts = np.bincount(rows[filled], minlength=(len(starts) - 1) * TILE)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32), layout.words[filled][order]


def pack_blocks(
    codes: NDArray[np.uint8],
    bits: int,
    statistics: NDArray[np.integer],
    statistics_bits: int,
    second_order: NDArray[np.float16],
) -> NDArray[np.uint8]:
    """Pack the blocks of the paper, each as a bit stream filled up to a whole byte.

    Parameters
    ----------
    codes
        ``[blocks, outputs, inputs]``, ``bits`` each, in row-major order.
    statistics
        ``[blocks, outputs, 2]``: scale and zero of each output channel, ``statistics_bits`` each.
    second_order
        FP16 numbers ``[blocks, n]``; n is 0 for statistics of 16 bits.

    Returns
    -------
    uint8 ``[blocks, bytes]``.
    """
    blocks = len(codes)
    fields = [to_bits(codes, bits), to_bits(statistics, statistics_bits), to_bits(second_order.view(np.uint16), 16)]
    return np.packbits(
        np.concatenate([field.reshape(blocks, -1) for field in fields], axis=1), axis=1, bitorder="little"
    )


def unpack_blocks(
    octets: NDArray[np.uint8], outputs: int, inputs: int, bits: int, statistics_bits: int, numbers: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float16]]:
    """Codes, statistics and second-order numbers of blocks that `pack_blocks` packed."""
    blocks = len(octets)
    sizes = [outputs * inputs * bits, outputs * 2 * statistics_bits, numbers * 16]
    if octets.ndim != 2 or octets.shape[1] != -(-sum(sizes) // 8):
        raise InputError(f"blocks: have shape {list(octets.shape)}; give [blocks, {-(-sum(sizes) // 8)}]")
    stream = np.unpackbits(octets, axis=1, count=sum(sizes), bitorder="little")
    fields = np.split(stream, np.cumsum(sizes)[:-1], axis=1)
    codes = from_bits(fields[0].reshape(blocks, outputs, inputs, bits)).astype(np.uint8)
    statistics = from_bits(fields[1].reshape(blocks, outputs, 2, statistics_bits))
    return codes, statistics, from_bits(fields[2].reshape(blocks, numbers, 16)).view(np.float16)

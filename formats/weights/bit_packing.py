"""Dense packing of integer codes into 32-bit words along the input channels."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_integer
from ..errors import InputError

WORD_BITS = 32


def pack_codes(codes: ArrayLike, bits: int) -> NDArray[np.uint32]:
    """Pack unsigned codes into a bit stream of 32-bit words along the first axis.

    The stream starts at the least significant bit of word 0. A code may lie in two words. The last word is filled with
    zeros. This is the ``qweight`` layout of GPTQ's 4-bit and SqueezeLLM's 3- and 4-bit kernels (arXiv 2306.07629,
    released code): eight 4-bit codes in a word, thirty-two 3-bit codes in three words.

    Parameters
    ----------
    codes
        Integers in 0..2^bits - 1, ``[in, ...]``.
    bits
        Width of a code, 1 to 16.

    Returns
    -------
    uint32 ``[ceil(in * bits / 32), ...]``.

    Raises
    ------
    InputError
        ``bits`` or a code is out of range, or the codes are not integers.

    Examples
    --------
    >>> [hex(word) for word in pack_codes([i % 8 for i in range(32)], 3)]
    ['0x88fac688', '0xc688fac6', '0xfac688fa']
    >>> [hex(word) for word in pack_codes(range(8), 4)]
    ['0x76543210']
    """
    values = check_codes("codes", np.asarray(codes), bits)
    # [in, ..., bits] -> [..., in * bits]: one stream of bits for each index of the remaining axes.
    stream = np.moveaxis(to_bits(values, bits), 0, -2).reshape(*values.shape[1:], -1)
    padding = -stream.shape[-1] % WORD_BITS
    stream = np.pad(stream, [(0, 0)] * (stream.ndim - 1) + [(0, padding)])
    octets = np.ascontiguousarray(np.packbits(stream, axis=-1, bitorder="little"))
    return np.ascontiguousarray(np.moveaxis(octets.view("<u4"), -1, 0)).astype(np.uint32, copy=False)


def unpack_codes(words: ArrayLike, bits: int, count: int) -> NDArray[np.uint16]:
    """Unpack the first ``count`` codes of each stream, uint16 ``[count, ...]``: the inverse of `pack_codes`.

    >>> unpack_codes([0x88FAC688, 0xC688FAC6], 3, count=12).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]

    Raises
    ------
    InputError
        ``bits`` is out of range, the words are not uint32, or their number does not fit ``count`` codes.
    """
    check_integer("bits", bits, 1, 16)
    array = np.asarray(words)
    if isinstance(words, np.ndarray) and array.dtype != np.uint32:
        raise InputError(f"words: are {array.dtype}; give uint32")
    array = array.astype(np.uint32)
    if array.ndim == 0 or array.shape[0] != word_count(count, bits):
        raise InputError(
            f"words: shape {array.shape}; {count} codes of {bits} bits need {word_count(count, bits)} words"
        )
    octets = np.ascontiguousarray(np.moveaxis(array, 0, -1).astype("<u4")).view(np.uint8)
    stream = np.unpackbits(octets, axis=-1, count=count * bits, bitorder="little")
    codes = from_bits(stream.reshape(*array.shape[1:], count, bits))
    return np.ascontiguousarray(np.moveaxis(codes, -1, 0))


def to_bits(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Lowest bits of each code, least significant first, on a new last axis: uint8 ``[..., bits]`` of 0 and 1."""
    octets = np.ascontiguousarray(codes.astype("<u2")).view(np.uint8).reshape(*codes.shape, 2)
    return np.unpackbits(octets, axis=-1, count=bits, bitorder="little")


def from_bits(stream: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Codes of bits, uint16 without the last axis: the inverse of `to_bits`."""
    fields = np.packbits(stream, axis=-1, bitorder="little")
    octets = np.zeros((*fields.shape[:-1], 2), np.uint8)
    octets[..., : fields.shape[-1]] = fields
    return octets.view("<u2")[..., 0].astype(np.uint16)


def word_count(count: int, bits: int) -> int:
    """Number of words for ``count`` codes."""
    return -(-count * bits // WORD_BITS)


def check_codes(name: str, codes: NDArray[np.integer], bits: int) -> NDArray[np.integer]:
    """Return ``codes`` if they are integers in 0..2^bits - 1 with at least one axis."""
    check_integer("bits", bits, 1, 16)
    if codes.ndim == 0 or codes.size == 0 or not np.issubdtype(codes.dtype, np.integer):
        raise InputError(f"{name}: is {codes.dtype} {list(codes.shape)}; give integers [in, ...], not empty")
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= 1 << bits:
        raise InputError(f"{name}: span {low}..{high}; give {bits}-bit codes in 0..{(1 << bits) - 1}")
    return codes

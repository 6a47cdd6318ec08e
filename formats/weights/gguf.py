"""GGUF block types: quantisers and bytes of Q4_1 and Q8_0, readers of the other types of plain integers.

A block holds 32 input channels of one output channel. Values round as in llama.cpp's reference quantiser; the tests
compare with its Python form (`gguf.quants`, MIT licence).

====  ======================  ========================================================================
type  weight                  bytes of a block
====  ======================  ========================================================================
Q4_1  ``d * code + m``        FP16 d, FP16 m, 16 bytes: codes 0..15 in the low nibbles, 16..31 in the high
Q4_0  ``d * (code - 8)``      FP16 d, 16 bytes
Q5_0  ``d * (code - 16)``     FP16 d, 4 bytes of fifth bits, 16 bytes
Q5_1  ``d * code + m``        FP16 d, FP16 m, 4 bytes of fifth bits, 16 bytes
Q8_0  ``d * code``, signed    FP16 d, 32 signed bytes
====  ======================  ========================================================================
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice
from ..errors import InputError
from .base import Statistic, check_weights
from .grouped_int import IntegerWeights
from .int4 import Int4Weights

BLOCK = 32
Q4_K_BYTES = 144


class BlockType(NamedTuple):
    """A block of integers, ``bits`` each, with an FP16 scale d, and an FP16 offset m if it has one."""

    bits: int
    has_offset: bool

    @property
    def head_bytes(self) -> int:
        """Bytes of the FP16 numbers, at the start of a block."""
        return 4 if self.has_offset else 2

    @property
    def block_bytes(self) -> int:
        """Bytes of a block."""
        return self.head_bytes + BLOCK * self.bits // 8


BLOCK_TYPES = {
    "Q4_0": BlockType(4, False),
    "Q4_1": BlockType(4, True),
    "Q5_0": BlockType(5, False),
    "Q5_1": BlockType(5, True),
    "Q8_0": BlockType(8, False),
}
"""Block types that are plain groups of integers."""
_SIGN_BIT = np.uint8(128)
"""Difference between the codes of `IntegerWeights`, which are centred at 128, and the signed bytes of Q8_0."""
_LOW_NIBBLE = np.uint8(15)


@dataclass(frozen=True)
class Q4_1:
    """Affine 4-bit codes: ``d = (max - min) / 15``, ``m = min``, ``code = floor((w - m) / d + 1/2)``.

    Codes are computed in float32 before d and m are rounded to FP16, as llama.cpp does.
    """

    name: ClassVar[str] = "q4_1"
    source: ClassVar[str] = "llama.cpp, GGUF block type Q4_1"
    statistic: ClassVar[Statistic] = "none"

    @property
    def parameters(self) -> dict[str, Any]:
        """Empty: the method has no parameters."""
        return {}

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits: 20 bytes for 32 weights."""
        return 8 * BLOCK_TYPES["Q4_1"].block_bytes / BLOCK

    @property
    def weight_config(self) -> dict[str, Any]:
        """Codes and blocks, as the machine stores them."""
        return {"bits": 4, "group_size": BLOCK}

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None) -> IntegerWeights:
        """Quantise a floating-point matrix ``[in, out]``; ``in`` must be a multiple of 32."""
        blocks = _blocks(w, statistic)
        low = blocks.min(axis=1, keepdims=True)
        step = (blocks.max(axis=1, keepdims=True) - low) / np.float32(15)
        codes = np.trunc((blocks - low) * _inverse(step) + np.float32(0.5)).clip(0, 15).astype(np.uint8)
        scales, offsets = (each[:, 0].astype(np.float16) for each in (step, low))
        return IntegerWeights(codes.reshape(w.shape), scales, 4, BLOCK, offsets=offsets)


@dataclass(frozen=True)
class Q8_0:
    """Symmetric 8-bit codes: ``d = max|w| / 127``, ``code = round(w / d)``, ties away from zero.

    Codes are computed in float32 before d is rounded to FP16, as llama.cpp does.
    """

    name: ClassVar[str] = "q8_0"
    source: ClassVar[str] = "llama.cpp, GGUF block type Q8_0"
    statistic: ClassVar[Statistic] = "none"

    @property
    def parameters(self) -> dict[str, Any]:
        """Empty: the method has no parameters."""
        return {}

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits: 34 bytes for 32 weights."""
        return 8 * BLOCK_TYPES["Q8_0"].block_bytes / BLOCK

    @property
    def weight_config(self) -> dict[str, Any]:
        """Codes and blocks, as the machine stores them."""
        return {"bits": 8, "group_size": BLOCK}

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None) -> IntegerWeights:
        """Quantise a floating-point matrix ``[in, out]``; ``in`` must be a multiple of 32."""
        blocks = _blocks(w, statistic)
        step = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
        scaled = blocks * _inverse(step)
        whole = np.trunc(scaled)
        # adding 1/2 first would round 0.49999997 up
        codes = whole + np.copysign(np.abs(scaled - whole) >= np.float32(0.5), scaled) + _SIGN_BIT
        return IntegerWeights(codes.astype(np.uint8).reshape(w.shape), step[:, 0].astype(np.float16), 8, BLOCK)


def to_blocks(w: IntegerWeights) -> NDArray[np.uint8]:
    """GGUF bytes, uint8 ``[out, bytes]``: Q4_1 for 4 bits with offsets, Q8_0 for symmetric 8 bits.

    Raises
    ------
    InputError
        The weights fit neither block type.
    """
    codes = w.codes.T.reshape(w.shape[1], -1, min(w.group_size, w.shape[0]))
    form = (w.bits, w.group_size, w.offsets is not None, w.zero_points is not None)
    if codes.shape[2] != BLOCK or form not in ((4, BLOCK, True, False), (8, BLOCK, False, False)):
        raise InputError(
            "w: does not fit a GGUF block; give groups of 32 with 4 bits and offsets, or with symmetric 8 bits"
        )
    parameters = [w.scales] if w.offsets is None else [w.scales, w.offsets]
    heads = np.stack([each.T for each in parameters], axis=-1).view(np.uint8)
    low, high = codes[..., : BLOCK // 2], codes[..., BLOCK // 2 :]
    body = low | high << np.uint8(4) if w.bits == 4 else codes ^ _SIGN_BIT
    return np.concatenate([heads, body], axis=-1).reshape(w.shape[1], -1)


def from_blocks(data: NDArray[np.uint8], block_type: str) -> IntegerWeights:
    """Weights ``[in, out]`` from GGUF bytes ``[out, bytes]`` of one of the types in `BLOCK_TYPES`.

    Raises
    ------
    InputError
        The type is another one, or the bytes are not whole blocks.
    """
    kind = BLOCK_TYPES[check_choice("block_type", block_type, BLOCK_TYPES)]
    blocks = _cut(data, kind.block_bytes)
    parameters = np.ascontiguousarray(blocks[..., : kind.head_bytes]).view(np.float16)
    scales = np.ascontiguousarray(parameters[..., 0].T)
    offsets = np.ascontiguousarray(parameters[..., 1].T) if kind.has_offset else None
    codes = _codes(blocks[..., kind.head_bytes :], kind.bits)
    return IntegerWeights(codes, scales, kind.bits, BLOCK, offsets=offsets)


def _codes(body: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Codes ``[in, out]`` from the bytes ``[out, blocks, bytes]`` of blocks after the head; packed, they are transposed faster."""
    rows = np.ascontiguousarray(body.transpose(1, 2, 0))
    if bits == 8:
        return (rows ^ _SIGN_BIT).reshape(-1, len(body))
    nibbles = rows[:, -(BLOCK // 2) :]
    codes = np.empty((len(rows), BLOCK, len(body)), np.uint8)
    np.bitwise_and(nibbles, _LOW_NIBBLE, out=codes[:, : BLOCK // 2])
    np.right_shift(nibbles, np.uint8(4), out=codes[:, BLOCK // 2 :])
    if bits == 5:
        codes |= np.unpackbits(rows[:, :4], axis=1, bitorder="little") << np.uint8(4)
    return codes.reshape(-1, len(body))


def q8_0_values(data: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Values ``[out, in]`` from GGUF bytes ``[out, bytes]`` of type Q8_0, as the package gguf computes them, many times faster."""
    blocks = _cut(data, BLOCK_TYPES["Q8_0"].block_bytes)
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    return (blocks[..., 2:].view(np.int8) * scales).reshape(len(data), -1)


def _cut(data: NDArray[np.uint8], block_bytes: int) -> NDArray[np.uint8]:
    """Check bytes ``[out, bytes]`` and cut them into blocks: ``[out, blocks, block_bytes]``."""
    if data.dtype != np.uint8 or data.ndim != 2 or data.size == 0 or data.shape[1] % block_bytes:
        raise InputError(
            f"data: is {data.dtype} {list(data.shape)}; give uint8 [out, bytes] in blocks of {block_bytes} bytes"
        )
    return data.reshape(len(data), -1, block_bytes)


def q4_k_groups(data: NDArray[np.uint8]) -> Int4Weights:
    """INT4 weights ``[in, out]`` in groups of 32 from GGUF bytes ``[out, bytes]`` of type Q4_K.

    A block of 256 weights has FP16 d and dmin and eight pairs of 6-bit numbers: a weight is
    ``d * scale * code - dmin * low``. The codes are kept; the two products are rounded to FP16, by at most 2^-11 of
    their value.

    Raises
    ------
    InputError
        The bytes are not whole blocks, or a scale overflows FP16.
    """
    from gguf.quants import Q4_K

    blocks = _cut(data, Q4_K_BYTES).reshape(-1, Q4_K_BYTES)
    steps = np.ascontiguousarray(blocks[:, :4]).view(np.float16).astype(np.float32)
    scales, lows = Q4_K.get_scale_min(blocks[:, 4:16])
    with np.errstate(over="ignore"):
        products = [
            (steps[:, index, None] * part).astype(np.float16)
            for index, part in enumerate((scales, -lows.astype(np.int16)))
        ]
    codes = (blocks[:, 16:].reshape(-1, 4, 1, BLOCK) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)) & _LOW_NIBBLE
    per_group = [np.ascontiguousarray(part.reshape(len(data), -1).T) for part in products]
    return Int4Weights(
        _channels_first(codes.reshape(len(data), -1, BLOCK)).view(np.int8), per_group[0], BLOCK, per_group[1]
    )


def _blocks(w: NDArray[np.floating], statistic: NDArray[np.floating] | None) -> NDArray[np.float32]:
    """Check weights and cut them into blocks: float32 ``[in / 32, 32, out]``."""
    if statistic is not None:
        raise InputError("statistic: is not used by GGUF block types; leave it out")
    weights = check_weights(w).astype(np.float32)
    if len(weights) % BLOCK:
        raise InputError(f"w: has {len(weights)} input channels; give a multiple of {BLOCK}, or choose another format")
    return weights.reshape(-1, BLOCK, weights.shape[1])


def _inverse(step: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.divide(1, step, out=np.zeros_like(step), where=step != 0)


def _channels_first(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Transpose codes ``[out, blocks, 32]`` to ``[in, out]``."""
    return np.ascontiguousarray(codes.reshape(len(codes), -1).T)

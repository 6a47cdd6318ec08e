"""Tensors of GGUF files as weights: integer codes where a block type is a plain group of integers, else floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.checks import check_finite
from ...formats.weights.gguf import BLOCK, BLOCK_TYPES, from_blocks, q4_k_groups, q8_0_values
from ...formats.weights.grouped_int import IntegerWeights
from ..models.gguf_header import GgufHeader, TensorPlace
from ..models.parameters import FloatArray, FloatWeights

CHUNK_WEIGHTS = 1 << 22
"""Weights that are dequantised at a time; the package's intermediate arrays take up to 100 bytes for each."""


class GgufTensors:
    """Tensors of one file, mapped into memory; each is taken once."""

    def __init__(self, header: GgufHeader) -> None:
        self._path, self._left = header.path, dict(header.tensors)
        self._bytes = np.memmap(header.path, np.uint8, "r")[header.data_start :]
        self._check_places(header)

    def _check_places(self, header: GgufHeader) -> None:
        """Refuse tensors that overlap, leave gaps or have exchanged places, as llama.cpp does: they follow each other in order."""
        alignment, at = header.alignment, 0
        for name, place in header.tensors.items():
            if place.offset != at:
                raise InputError(
                    f"model: {self._path}: {name} begins at byte {place.offset} of the tensors, and the one before it ends "
                    f"at {at}; fetch it again"
                )
            _, rows, row_bytes = self._size(name, place)
            at = -(-(at + rows * row_bytes) // alignment) * alignment

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def left(self) -> list[str]:
        """Names of the tensors that were not taken."""
        return sorted(self._left)

    def floats(self, name: str, expected: tuple[int, ...]) -> FloatArray:
        """Values of a tensor, float32.

        Raises
        ------
        InputError
            The tensor is missing, has another shape or an unknown type, or holds infinities or NaN.
        """
        place = self._take(name, expected)
        from gguf.quants import dequantize

        rows, kind = self._rows(name, place)
        if kind.name == "Q8_0":
            values = q8_0_values(np.asarray(rows))
            if not np.isfinite(values[:, ::BLOCK]).all():  # a block has one scale, so one of its values tells
                check_finite(f"model: {self._path}: {name}", values)
            return values.reshape(expected)
        out = np.empty((len(rows), place.shape[-1]), np.float32)
        step = max(CHUNK_WEIGHTS // place.shape[-1], 1)
        for start in range(0, len(rows), step):
            try:
                out[start : start + step] = dequantize(rows[start : start + step], kind)
            except NotImplementedError:
                raise InputError(
                    f"model: {self._path}: {name} is {kind.name}; convert the file to another type"
                ) from None
        return check_finite(f"model: {self._path}: {name}", out.reshape(expected))

    def linear(
        self, name: str, expected: tuple[int, int], group_size: int | None
    ) -> Int4Weights | IntegerWeights | FloatWeights:
        """A linear layer ``[in, out]``.

        Q4_0 and Q4_1 keep their codes. With a group size, Q4_K keeps them too, its scales rounded to FP16, and all other types
        are rounded to INT4; without, Q5_0, Q5_1 and Q8_0 keep their codes and the others become floats, all exactly.
        """
        place = self._left.get(name)
        if place is None or place.shape != expected[::-1]:
            self._take(name, expected[::-1])
        assert place is not None
        rows, kind = self._rows(name, place)
        if kind.name in BLOCK_TYPES and (group_size is None or BLOCK_TYPES[kind.name].bits == 4):
            del self._left[name]
            return self._checked(name, lambda: _narrow(from_blocks(np.asarray(rows), kind.name)))
        if kind.name == "Q4_K" and group_size is not None:
            del self._left[name]
            return self._checked(name, lambda: q4_k_groups(np.asarray(rows)))
        matrix = np.ascontiguousarray(self.floats(name, expected[::-1]).T)
        if group_size is None:
            return FloatWeights(matrix, kind.name)
        return self._checked(name, lambda: Int4Weights.quantize(matrix, group_size))

    def _checked(self, name: str, read: Any) -> Any:
        try:
            return read()
        except InputError as error:
            raise InputError(f"model: {self._path}: {name}: {error}") from None

    def _take(self, name: str, expected: tuple[int, ...]) -> TensorPlace:
        if name not in self._left:
            raise InputError(f"model: {self._path} holds no tensor {name!r}; give a complete GGUF file")
        place = self._left.pop(name)
        if place.shape != expected:
            raise InputError(
                f"model: {self._path}: {name} has shape {place.shape}, not {expected}; correct the metadata, or give "
                "another file"
            )
        return place

    def _size(self, name: str, place: TensorPlace) -> tuple[Any, int, int]:
        """Block type, number of rows, and bytes of a row."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            kind = GGMLQuantizationType(place.kind)
        except ValueError:
            raise InputError(f"model: {self._path}: {name} has the unknown type {place.kind}; update gguf") from None
        weights, size = GGML_QUANT_SIZES[kind]
        rows = int(np.prod(place.shape[:-1], dtype=np.int64))
        if place.shape[-1] % weights:
            raise InputError(
                f"model: {self._path}: {name} has rows of {place.shape[-1]} in blocks of {weights}; fetch it again"
            )
        return kind, rows, place.shape[-1] // weights * size

    def _rows(self, name: str, place: TensorPlace) -> tuple[NDArray[np.uint8], Any]:
        """Bytes of each row, uint8 ``[rows, bytes]``, and the block type."""
        kind, rows, row_bytes = self._size(name, place)
        end = place.offset + rows * row_bytes
        if end > len(self._bytes):
            raise InputError(
                f"model: {self._path} is truncated or no GGUF file ({name} reaches past its end); fetch it again"
            )
        return self._bytes[place.offset : end].reshape(rows, row_bytes), kind


def _narrow(weights: IntegerWeights) -> Int4Weights | IntegerWeights:
    return weights.to_int4() if weights.bits == 4 else weights


def permuted(weights: Any, outputs: NDArray[np.intp]) -> Any:
    """The same weights with other order of output channels."""
    match weights:
        case Int4Weights():
            offsets = None if weights.offsets is None else weights.offsets[:, outputs]
            return Int4Weights(weights.codes[:, outputs], weights.scales[:, outputs], weights.group_size, offsets)
        case IntegerWeights():
            offsets = None if weights.offsets is None else weights.offsets[:, outputs]
            return IntegerWeights(
                weights.codes[:, outputs], weights.scales[:, outputs], weights.bits, weights.group_size, None, offsets
            )
        case _:
            return FloatWeights(weights.values[:, outputs], weights.name)

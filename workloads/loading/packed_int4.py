"""Packed INT4 weights of GPTQ and AWQ checkpoints: eight codes in a 32-bit word, ``w = scale * (code - zero_point)``.

========  ==========================================  =====================================
..        GPTQ (arXiv 2210.17323, AutoGPTQ)           AWQ (arXiv 2306.00978, "gemm" layout)
========  ==========================================  =====================================
qweight   ``[in / 8, out]``: eight input channels     ``[in, out / 8]``: eight output channels
qzeros    ``[groups, out / 8]``: eight outputs        ``[groups, out / 8]``: eight outputs
nibbles   in order, the least significant first       outputs 0 2 4 6 1 3 5 7
zeros     one too small ("gptq"), true ("gptq_v2")    true
========  ==========================================  =====================================

Codes and scales do not change. Zero points become the offset ``scale * (8 - zero_point)`` of codes from -8 to 7. This is
exact for symmetric checkpoints (zero point 8, no offset); otherwise the offset is rounded to FP16, by at most 2^-11 of its
value. The accelerator has no groups by activation order (``desc_act``): such a matrix becomes floats and serves evaluations
in float32 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.checks import check_integer
from ..models.parameters import FloatWeights
from .safetensors_folder import SafetensorsFolder

CODES_PER_WORD = 8
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Output channel, of eight, in each nibble of a word; the least significant nibble is first."""
ACTIVATION_ORDER = "GPTQ's groups by activation order"
MIDDLE = 8
"""Zero point of a symmetric checkpoint."""


@dataclass(frozen=True)
class PackedLayout:
    """Packing of a checkpoint's linear layers."""

    method: Literal["gptq", "awq"]
    group_size: int
    """Number of input channels that share a scale; -1 stands for all."""
    zero_shift: int
    """Difference of the true and the stored zero point."""

    @classmethod
    def from_config(cls, config: dict[str, Any], path: Path) -> PackedLayout:
        """Read the ``quantization_config`` of a checkpoint's configuration.

        Raises
        ------
        InputError
            The method, width or layout is not supported.
        """
        method = config.get("quant_method")
        if method not in ("gptq", "awq"):
            raise InputError(f"checkpoint: {path} is quantised by {method!r}; use gptq or awq, or floats")
        for key, wanted in (("bits", 4), *((("version", "gemm"),) if method == "awq" else ())):
            if config.get(key, wanted) != wanted:
                raise InputError(
                    f"checkpoint: {path} has {key} {config[key]!r} of {method}; use a checkpoint with {wanted!r}"
                )
        stored = config.get("checkpoint_format", "gptq")
        if stored not in ("gptq", "gptq_v2", "gemm"):
            raise InputError(f"checkpoint: {path} has checkpoint_format {stored!r}; use gptq or gptq_v2")
        group_size = check_integer(f"checkpoint: {path}: group_size", config.get("group_size", 128), -1)
        if group_size == 0:
            raise InputError(f"checkpoint: {path}: group_size: is 0; give a number of channels, or -1 for all")
        shift = 1 if method == "gptq" and stored == "gptq" else 0
        return cls(method, group_size, shift)

    @property
    def description(self) -> str:
        """Method and group size, for the metadata of a trace."""
        return f"{self.method} group {self.group_size}"

    def read(self, tensors: SafetensorsFolder, name: str, shape: tuple[int, int]) -> Int4Weights | FloatWeights:
        """Read a linear layer ``[in, out]``; as floats if its groups do not consist of consecutive channels.

        Raises
        ------
        InputError
            A tensor is missing or has another shape, or a channel's group does not exist.
        """
        inputs, outputs = shape
        group = inputs if self.group_size == -1 else self.group_size
        groups = -(-inputs // group)
        packed = (inputs // CODES_PER_WORD, outputs) if self.method == "gptq" else (inputs, outputs // CODES_PER_WORD)
        words = tensors.integers(f"{name}.qweight", packed)
        zero_words = tensors.integers(f"{name}.qzeros", (groups, outputs // CODES_PER_WORD))
        scales = tensors.floats(f"{name}.scales", (groups, outputs)).astype(np.float16)
        if self.method == "gptq":
            codes, zeros = unpack_words(words.T).T, unpack_words(zero_words)
        else:
            codes, zeros = (unpack_words(part, AWQ_ORDER) for part in (words, zero_words))
        zeros = zeros + self.zero_shift
        index = tensors.integers(f"{name}.g_idx", (inputs,)) if f"{name}.g_idx" in tensors else None
        if index is None or np.array_equal(index, np.arange(inputs) // group):
            return _int4(codes, scales, zeros, group)
        if not 0 <= index.min() <= index.max() < groups:
            raise InputError(f"checkpoint: {name}.g_idx names group {index.max()} of {groups}; copy the file again")
        return FloatWeights((codes - zeros[index]) * scales.astype(np.float32)[index], ACTIVATION_ORDER)


def unpack_words(words: NDArray[np.int32], order: tuple[int, ...] = tuple(range(CODES_PER_WORD))) -> NDArray[np.int16]:
    """Unpack words ``[..., words]`` to codes ``[..., 8 * words]``; nibble i becomes code ``order[i]`` of its eight."""
    unsigned = np.ascontiguousarray(words).view(np.uint32)
    codes = np.empty((*words.shape, CODES_PER_WORD), np.int16)
    for nibble, place in enumerate(order):
        codes[..., place] = (unsigned >> np.uint32(4 * nibble)) & np.uint32(0xF)
    return codes.reshape(*words.shape[:-1], -1)


def _int4(codes: NDArray[np.int16], scales: NDArray[np.float16], zeros: NDArray[np.int16], group: int) -> Int4Weights:
    signed = np.ascontiguousarray(codes - MIDDLE).astype(np.int8)
    if (zeros == MIDDLE).all():
        return Int4Weights(signed, scales, group)
    offsets = scales.astype(np.float32) * (MIDDLE - zeros)
    return Int4Weights(signed, scales, group, offsets.astype(np.float16))

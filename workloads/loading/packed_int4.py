"""Packed INT4 weights of GPTQ and AWQ checkpoints: eight codes in a 32-bit word, ``w = scale * (code - zero_point)``.

========  ==========================================  =====================================
..        GPTQ (arXiv 2210.17323, AutoGPTQ)           AWQ (arXiv 2306.00978, "gemm" layout)
========  ==========================================  =====================================
qweight   ``[in / 8, out]``: eight input channels     ``[in, out / 8]``: eight output channels
qzeros    ``[groups, out / 8]``: eight outputs        ``[groups, out / 8]``: eight outputs
nibbles   in order, the least significant first       outputs 0 2 4 6 1 3 5 7
zeros     one less ("gptq"), true ("gptq_v2")         true
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
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ..models.parameters import FloatWeights
from .safetensors_folder import SafetensorsFolder

CODES_PER_WORD = 8
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Output channel, of eight, in each nibble of a word; the least significant nibble is first."""
ACTIVATION_ORDER = "GPTQ's groups by activation order"
OWN_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files with the quantisation's options beside ``config.json``, and the method that writes them."""
_DECISIVE = {"quant_method", "bits", "w_bit", "group_size", "q_group_size", "sym", "checkpoint_format", "version"}
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

    symmetric: bool
    """True if all zero points are in the middle, whatever convention stores them."""

    @classmethod
    def from_folder(cls, folder: Path, config: dict[str, Any] | None) -> PackedLayout | None:
        """Read ``quantization_config`` of ``config.json``, or the file of its own that older tools write; None without.

        Raises
        ------
        InputError
            The method, width or layout is not supported, or two files contradict each other.
        """
        path, merged = folder / "config.json", config
        for name, method in OWN_FILES.items():
            if not (folder / name).is_file():
                continue
            path = folder / name
            with border(f"checkpoint: {path} is damaged", "copy it again"):
                own: dict[str, Any] = {"quant_method": method, **read_json(path)}
            for key in own.keys() & (merged or {}).keys() & _DECISIVE:
                if merged is not None and own[key] != merged[key]:
                    raise InputError(
                        f"checkpoint: {path} has {key} {own[key]!r}, config.json {merged[key]!r}; remove the wrong one"
                    )
            merged = own | (merged or {})
        return None if merged is None else cls.from_config(merged, path)

    @classmethod
    def from_config(cls, config: dict[str, Any], path: Path) -> PackedLayout:
        """Read the ``quantization_config`` of a checkpoint's configuration.

        Raises
        ------
        InputError
            The method, width or layout is not supported, or an entry with two names has two values.
        """
        method = _entry(config, path, ("quant_method", "method"), None)
        if method not in ("gptq", "awq"):
            raise InputError(f"checkpoint: {path} is quantised by {method!r}; use gptq or awq, or floats")
        version = str(config.get("version", "gemm")).lower() if method == "awq" else "gemm"
        for key, value, wanted in (
            ("bits", _entry(config, path, ("bits", "w_bit"), 4), 4),
            ("version", version, "gemm"),
        ):
            if value != wanted:
                raise InputError(
                    f"checkpoint: {path} has {key} {value!r} of {method}; use a checkpoint with {wanted!r}"
                )
        stored = _entry(config, path, ("checkpoint_format", "format"), "gptq" if method == "gptq" else "gemm")
        if stored not in (("gptq", "gptq_v2") if method == "gptq" else ("gemm",)) or config.get("is_marlin_format"):
            found = "marlin" if config.get("is_marlin_format") else stored
            raise InputError(f"checkpoint: {path} has checkpoint_format {found!r}; use gptq or gptq_v2")
        given = _entry(config, path, ("group_size", "q_group_size"), 128)
        group_size = check_integer(f"checkpoint: {path}: group_size", given, -1)
        if group_size == 0:
            raise InputError(f"checkpoint: {path}: group_size: is 0; give a number of channels, or -1 for all")
        shift = 1 if method == "gptq" and stored == "gptq" else 0
        return cls(method, group_size, shift, method == "gptq" and config.get("sym") is True)

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
        zeros = self._zero_points(name, zeros)
        index = tensors.integers(f"{name}.g_idx", (inputs,)) if f"{name}.g_idx" in tensors else None
        if index is None or np.array_equal(index, np.arange(inputs) // group):
            return _int4(codes, scales, zeros, group)
        if not 0 <= index.min() <= index.max() < groups:
            raise InputError(f"checkpoint: {name}.g_idx names group {index.max()} of {groups}; copy the file again")
        return FloatWeights((codes - zeros[index]) * scales.astype(np.float32)[index], ACTIVATION_ORDER)

    def _zero_points(self, name: str, stored: NDArray[np.int16]) -> NDArray[np.int16]:
        """Zero points, 0 to 15, from their stored form.

        A symmetric checkpoint has 8 everywhere; its zeros show the convention, which some files state wrongly. Otherwise
        "gptq" stores one less, and 15 stands for 0: quantisers give zero points of 4 bits.
        """
        if not self.symmetric:
            return (stored + self.zero_shift) % 16
        shift = MIDDLE - stored.flat[0]
        if shift not in (0, 1) or (stored != stored.flat[0]).any():
            raise InputError(
                f"checkpoint: {name}.qzeros holds {int(stored.min())} to {int(stored.max())}, but sym is true in "
                "quantization_config; correct that entry"
            )
        return stored + shift


def _entry(config: dict[str, Any], path: Path, names: tuple[str, ...], default: Any) -> Any:
    """Value of an entry that has had several names; `InputError` if two of them differ."""
    found = {name: config[name] for name in names if config.get(name) is not None}
    if len({repr(value) for value in found.values()}) > 1:
        shown = " and ".join(f"{name} {value!r}" for name, value in found.items())
        raise InputError(f"checkpoint: {path} has {shown}; remove the wrong one")
    return next(iter(found.values()), default)


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

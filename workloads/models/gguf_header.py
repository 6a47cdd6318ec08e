"""Header of GGUF files: metadata, the places of tensors, and the model that they describe.

The format is that of the package gguf, which reads tokens one by one; a vocabulary of 150,000 takes it seconds.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from ...formats import InputError
from ...formats.documents.border import border, open_file
from .hf_shapes import shape_of_config
from .shapes import ModelShape

MOST_DIMENSIONS = 4
_SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")

MODEL_TYPES = {
    "llama": "llama",
    "mistral": "mistral",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma3": "gemma3_text",
}
"""Architectures of files that the decoder computes, and their ``model_type`` in ``config.json``."""

_ENTRIES = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.freq_base": "rope_theta",
    "rope.freq_base_swa": "rope_local_base_freq",
}
"""Metadata, without the architecture's prefix, and their names in ``config.json``."""
_ROPE_ENTRIES = {
    "rope.scaling.factor": "factor",
    "rope.scale_linear": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.attn_factor": "attention_factor",
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}
_USED = {
    *("context_length", "vocab_size", "rope.dimension_count", "rope.scaling.type", "rope.scaling.finetuned"),
    *("attention.key_length", "attention.value_length", "attention.scale", "tensor_data_layout"),
}
_NEUTRAL = {"attention.causal": True, "expert_count": 0, "expert_used_count": 0, "logit_scale": 1.0}
"""Metadata that the decoder does not compute, with the value that has no effect."""


@dataclass(frozen=True)
class TensorPlace:
    """One tensor of a file."""

    shape: tuple[int, ...]
    """Sizes, rows first; a row of a quantised tensor holds this many weights."""
    kind: int
    """Number of the block type in the package gguf."""
    offset: int
    """Offset in bytes from the start of the tensors' data."""


@dataclass(frozen=True)
class GgufHeader:
    """Metadata and places of tensors of one file."""

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, TensorPlace]
    data_start: int
    """Offset of the tensors' data in the file, in bytes."""
    alignment: int
    """Tensors begin at a multiple of it, in bytes."""

    @property
    def architecture(self) -> str:
        """Name of the architecture, the prefix of its metadata."""
        return str(self.fields.get("general.architecture"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model as the entries of ``config.json``.

        Raises
        ------
        InputError
            The decoder does not compute the model, or metadata contradict each other.
        """
        with border(f"model: {self.path} has damaged metadata", "fetch it again"):
            return self._config()

    def _config(self) -> dict[str, Any]:
        kind = MODEL_TYPES.get(self.architecture)
        if kind is None:
            known = ", ".join(MODEL_TYPES)
            raise InputError(f"model: {self.path} holds architecture {self.architecture!r}; use one of {known}")
        prefix = f"{self.architecture}."
        own = {name.removeprefix(prefix): value for name, value in self.fields.items() if name.startswith(prefix)}
        self._refuse_others(own)
        config = {entry: own[name] for name, entry in _ENTRIES.items() if own.get(name) is not None}
        if kind == "llama" and config.get("sliding_window"):
            kind = "mistral"
        embedding = self.tensors.get("token_embd.weight")
        config |= {
            "model_type": kind,
            "vocab_size": embedding.shape[0] if embedding else own.get("vocab_size"),
            "max_position_embeddings": own.get("context_length", 1 << 15),
            "tie_word_embeddings": "output.weight" not in self.tensors,
            "num_key_value_heads": own.get("attention.head_count_kv", own.get("attention.head_count")),
            "sliding_window": config.get("sliding_window") or None,
        }
        if kind in ("llama", "qwen3"):  # the others always have biases, or never
            config["attention_bias"] = "blk.0.attn_q.bias" in self.tensors
        if scaling := self._rope_scaling(own):
            config["rope_scaling"] = scaling
        return config | self._head(own)

    def shape(self) -> ModelShape:
        """Sizes of the model; it has the file's name.

        Raises
        ------
        InputError
            The shape cannot express the model.
        """
        return shape_of_config(self.config, self.path.stem, f"model {self.path}")

    def _refuse_others(self, own: dict[str, Any]) -> None:
        for name, value in own.items():
            if name in _ENTRIES or name in _ROPE_ENTRIES or name in _USED:
                continue
            if value != _NEUTRAL[name] if name in _NEUTRAL else value:
                raise InputError(
                    f"model: {self.path} has {self.architecture}.{name} {str(value)[:40]}, which the decoder does not "
                    "compute; use a model without it"
                )

    def _head(self, own: dict[str, Any]) -> dict[str, Any]:
        """Channels of a head and the scale of its scores."""
        channels, heads = own.get("embedding_length", 0), own.get("attention.head_count", 1) or 1
        lengths = {own[name] for name in ("attention.key_length", "attention.value_length") if name in own}
        head_dim = min(lengths, default=channels // heads)
        if len(lengths) > 1 or own.get("rope.dimension_count", head_dim) != head_dim:
            raise InputError(
                f"model: {self.path} has heads of {sorted(lengths) or head_dim} channels and rotates "
                f"{own.get('rope.dimension_count', head_dim)}; use a model that rotates whole heads of one size"
            )
        scale = own.get("attention.scale")
        if self.architecture != "gemma3":
            if scale is not None and abs(scale * head_dim**0.5 - 1) > 1e-6:
                raise InputError(f"model: {self.path} has attention.scale {scale}; use a model with 1/sqrt(key length)")
            return {"head_dim": head_dim}
        # llama.cpp: the 27B model, with 62 layers, divides by the root of hidden / heads, the others by that of key_length
        root = channels // heads if own.get("block_count") == 62 else head_dim
        return {"head_dim": head_dim, "query_pre_attn_scalar": root if scale is None else scale**-2}

    def _rope_scaling(self, own: dict[str, Any]) -> dict[str, Any]:
        """Options of a stretched rotary embedding as ``rope_scaling`` has them."""
        options = {entry: own[name] for name, entry in _ROPE_ENTRIES.items() if own.get(name) is not None}
        kind = own.get("rope.scaling.type")
        if kind is None and "rope.scale_linear" in own:
            kind = "linear"
        if kind in (None, "none"):
            if options.get("factor", 1) not in (0, 1):
                raise InputError(
                    f"model: {self.path} has a factor of rope.scaling without its type; state rope.scaling.type"
                )
            return {}
        if kind == "yarn":
            from .rope import yarn_magnitude

            options["attention_factor"] = options.get("attention_factor", 1.0) * yarn_magnitude(
                options.get("factor", 1.0)
            )
        return {"rope_type": kind, **options}


def read_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file; the tensors need not be there.

    Raises
    ------
    InputError
        The file is missing, truncated or no GGUF file.
    """
    if not path.is_file():
        raise InputError(f"model: {path} does not exist; give the path of a GGUF file")
    with (
        border(f"model: {path} is truncated or no GGUF file", "fetch it again"),
        open_file(path) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return _Reader(data).header(path)


class _Reader:
    """A place in the bytes of a file; each method reads on from there."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def header(self, path: Path) -> GgufHeader:
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version = self.number("<I")
        if version not in (2, 3):
            raise ValueError(f"it has version {version}, not 2 or 3")
        tensors, entries = self.number("<Q"), self.number("<Q")
        fields: dict[str, Any] = {}
        for _ in range(entries):
            name = self.text()
            if name in fields:
                raise ValueError(f"it states {name} twice")
            fields[name] = self.value(self.number("<I"))
        places: dict[str, TensorPlace] = {}
        for _ in range(tensors):
            name = self.text()
            if name in places:
                raise ValueError(f"it holds {name} twice")
            places[name] = self.place()
        alignment = fields.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its alignment is {alignment}")
        return GgufHeader(path, fields, places, -(-self._at // alignment) * alignment, alignment)

    def number(self, form: str) -> Any:
        """One number of a `struct` format."""
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def text(self) -> str:
        """A string with its length in front."""
        return self.texts(1)[0]

    def texts(self, count: int) -> list[str]:
        """Strings that follow each other, each with its length in front; a vocabulary has 50,000 and more."""
        data, at, end = self._data, self._at, len(self._data)
        found: list[str] = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if length > end - at:
                raise ValueError("a length reaches past its end")
            found.append(data[at : at + length].decode())
            at += length
        self._at = at
        return found

    def value(self, kind: int) -> Any:
        """A value of metadata."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"a value has the unknown type {kind}")
        kind, length = self.number("<I"), self.number("<Q")
        if length > len(self._data) - self._at:
            raise ValueError("a length reaches past its end")
        if kind in _SCALARS:
            form = f"<{length}{_SCALARS[kind][1:]}"
            values = list(struct.unpack_from(form, self._data, self._at))
            self._at += struct.calcsize(form)
            return values
        if kind == _TEXT:
            return self.texts(length)
        return [self.value(kind) for _ in range(length)]

    def place(self) -> TensorPlace:
        """Sizes, type and offset of a tensor."""
        dimensions = self.number("<I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise ValueError(f"a tensor has {dimensions} dimensions")
        sizes = [self.number("<Q") for _ in range(dimensions)]
        if not 0 < prod(sizes) < 1 << 48:
            raise ValueError(f"a tensor has the sizes {sizes}")
        return TensorPlace(tuple(reversed(sizes)), self.number("<I"), self.number("<Q"))

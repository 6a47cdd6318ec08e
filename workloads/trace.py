"""Captured activations and the weights they meet, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats import InputError, Int4Weights
from .decoder import Decoder
from .kernels import FloatArray, to_fp16
from .precision import MODULES
from .text import TextBlocks
from .weights import linear_names

CAPTURE_VERSION = 1


@dataclass(frozen=True, eq=False)
class Trace:
    """What entered the GeMMs of some layers, and those GeMMs' weights."""

    metadata: Mapping[str, Any]
    """Keys: model, model_sha256, text_sha256, layers, tokens, linears, weight_group_size, dtype, capture_version."""
    tensors: Mapping[str, NDArray[Any]]

    def activation(self, layer: int, module: str) -> NDArray[np.float16]:
        """The input of a module's GeMMs: float16 ``[tokens, channels]``.

        Raises:
            InputError: that layer or module was not captured.
        """
        if module not in MODULES:
            raise InputError(f"module: {module!r} is unknown; use {', '.join(MODULES)}")
        self._require_layer(layer)
        return self.tensors[f"activations.{layer}.{module}"]

    def weights(self, layer: int, name: str) -> Int4Weights:
        """The weights of a linear layer, ``[in, out]``: q, k, v, o, gate, up or down.

        Raises:
            InputError: that layer was not captured, or there is no such linear layer.
        """
        self._require_layer(layer)
        if name not in self.metadata["linears"]:
            raise InputError(f"name: {name!r} was not captured; the trace holds {', '.join(self.metadata['linears'])}")
        prefix = f"weights.{layer}.{name}"
        return Int4Weights(
            self.tensors[f"{prefix}.codes"],
            self.tensors[f"{prefix}.scales"],
            self.metadata["weight_group_size"],
            self.tensors.get(f"{prefix}.offsets"),
        )

    def save(self, path: Path | str) -> None:
        """Write a new file; it appears under its name only when it is complete.

        Raises:
            InputError: the file exists.
        """
        from safetensors.numpy import save_file

        path = Path(path)
        if path.exists():
            raise InputError(f"trace: {path} exists and is not overwritten; give another path or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        save_file(dict(self.tensors), part, metadata={"anda_trace": json.dumps(dict(self.metadata))})
        part.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> Trace:
        """Read a file that `save` wrote, all of it, and check it.

        Raises:
            InputError: the file is missing, truncated, no trace, of another version, or holds infinities or NaN.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"trace: {path} does not exist; capture one with `anda trace capture`")
        metadata, tensors = _read(path)
        trace = cls(metadata, tensors)
        trace._validate(path)
        return trace

    def _require_layer(self, layer: int) -> None:
        if layer not in self.metadata["layers"]:
            raise InputError(f"layer: {layer} was not captured; the trace holds {_listed(self.metadata['layers'])}")

    def _validate(self, path: Path) -> None:
        mend = "capture it again with `anda trace capture`"
        if self.metadata.get("capture_version") != CAPTURE_VERSION:
            found = self.metadata.get("capture_version")
            raise InputError(f"trace: {path} has capture version {found}, not {CAPTURE_VERSION}; {mend}")
        try:
            for layer in self.metadata["layers"]:
                for module in MODULES:
                    _require_activation(path, f"activations.{layer}.{module}", self.activation(layer, module))
                for name in self.metadata["linears"]:
                    self._require_weights(path, layer, name)
        except KeyError as missing:
            raise InputError(f"trace: {path} lacks the entry {missing}; {mend}") from None

    def _require_weights(self, path: Path, layer: int, name: str) -> None:
        try:
            self.weights(layer, name)
        except InputError as error:
            raise InputError(f"trace: {path}: weights.{layer}.{name}: {error}") from None


def capture_trace(decoder: Decoder, blocks: TextBlocks, layers: Sequence[int] = (0, 11, 29), tokens: int = 64) -> Trace:
    """Run the first `tokens` tokens of the first block and keep what enters the GeMMs of some layers, as FP16.

    Raises:
        InputError: a layer does not exist, or the block is too short.
    """
    if not layers:
        raise InputError("layers: there are none; name at least one")
    for layer in layers:
        if not 0 <= layer < decoder.shape.layers:
            raise InputError(
                f"layers: {layer} does not exist; {decoder.shape.name} has 0 to {decoder.shape.layers - 1}"
            )
    if not 1 <= tokens <= blocks.tokens.shape[1]:
        raise InputError(f"tokens: {tokens} of a block of {blocks.tokens.shape[1]}; use 1 to {blocks.tokens.shape[1]}")
    tensors: dict[str, NDArray[Any]] = {}

    def hook(module: str, layer: int, x: FloatArray) -> FloatArray:
        rounded = to_fp16(x)
        if layer in layers:
            tensors[f"activations.{layer}.{module}"] = rounded.astype(np.float16)
        return rounded

    used = TextBlocks(blocks.tokens[:1, :tokens])
    decoder.hidden(used.tokens[0], hook, layers=max(layers) + 1)
    names = linear_names(decoder.shape)
    weights = {(layer, name): decoder.linear(layer, name) for layer in layers for name in names}
    for (layer, name), weight in weights.items():
        tensors |= _weight_tensors(f"weights.{layer}.{name}", weight)
    metadata = {
        "model": decoder.shape.name,
        "model_sha256": decoder.sha256,
        "text_sha256": used.sha256,
        "layers": list(layers),
        "tokens": tokens,
        "linears": list(names),
        "weight_group_size": weights[layers[0], names[0]].group_size,
        "dtype": "float16",
        "capture_version": CAPTURE_VERSION,
    }
    return Trace(metadata, tensors)


def _weight_tensors(prefix: str, weights: Int4Weights) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {f"{prefix}.codes": weights.codes, f"{prefix}.scales": weights.scales}
    if weights.offsets is not None:
        tensors[f"{prefix}.offsets"] = weights.offsets
    return tensors


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})["anda_trace"])
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"trace: {path} is truncated or no safetensors file ({error}); capture it again") from None
    except (KeyError, ValueError):
        raise InputError(f"trace: {path} is no trace of this program; capture one with `anda trace capture`") from None


def _require_activation(path: Path, name: str, values: NDArray[Any]) -> None:
    if values.dtype != np.float16 or values.ndim != 2:
        raise InputError(
            f"trace: {path}: {name} is {values.dtype} {list(values.shape)}; give float16 [tokens, channels]"
        )
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"trace: {path}: {name} holds {values[index]} at {index}; capture it again")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))

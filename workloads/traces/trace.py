"""Captured activations and their GeMMs' weights: one safetensors file, or a folder with a file for each layer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.checks import check_choice, check_integer
from ...formats.documents.border import border
from ...formats.documents.json_file import parse_json
from ...formats.documents.schema import check
from ...formats.documents.tensor_file import read_tensors
from ..files import file_sha256, whole_file
from ..inference.language_model import LanguageModel
from ..inference.operators import to_fp16
from ..models.parameters import MODULE_LINEARS, FloatArray, linear_names
from ..models.precision import MODULES
from ..models.shapes import ModelShape
from ..text.blocks import TextBlocks
from .metadata import CHECKSUM, FOLDER_FILE, TraceMetadata, checksum, read_record

CAPTURE_VERSION = 1
FIX = "capture it again with `anda trace capture`"
ENTRY = "anda_trace"
"""Entry of the header of a safetensors file that holds the metadata as JSON."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Activations that entered the GeMMs of some layers, and the weights of these GeMMs."""

    metadata: Mapping[str, Any]
    """Keys: model, model_sha256, text_sha256, layers, tokens, linears, weight_group_size, dtype, capture_version. Traces
    of a checkpoint also have tokenizer_sha256, text, split, blocks, stored_dtype, quantization."""
    tensors: Mapping[str, NDArray[Any]]
    """Arrays named ``activations.LAYER.MODULE`` and ``weights.LAYER.NAME.codes``, ``.scales`` and ``.offsets``."""

    def activation(self, layer: int, module: str) -> NDArray[np.float16]:
        """Return the input of a module's GeMMs: float16 ``[tokens, channels]``.

        Raises
        ------
        InputError
            The layer was not captured, or there is no such module.
        """
        check_choice("module", module, MODULES)
        self._require_layer(layer)
        return self.tensors[f"activations.{layer}.{module}"]

    def weights(self, layer: int, name: str) -> Int4Weights:
        """Return the weights ``[in, out]`` of a linear layer: q, k, v, o, gate, up or down.

        Raises
        ------
        InputError
            The layer was not captured, or there is no such linear layer.
        """
        self._require_layer(layer)
        if name not in self.metadata["linears"]:
            held = ", ".join(self.metadata["linears"]) or "no weights"
            raise InputError(f"name: {name!r} was not captured; the trace holds {held}")
        prefix = f"weights.{layer}.{name}"
        return Int4Weights(
            self.tensors[f"{prefix}.codes"],
            self.tensors[f"{prefix}.scales"],
            self.metadata["weight_group_size"],
            self.tensors.get(f"{prefix}.offsets"),
        )

    def first_weights(self, layer: int, module: str) -> Int4Weights:
        """Return the weights of a module's first linear layer, such as q of qkv; raises the errors of `weights`."""
        names = MODULE_LINEARS[module]
        return self.weights(layer, next((name for name in names if name in self.metadata["linears"]), names[0]))

    def save(self, path: Path | str) -> None:
        """Write a new file, which appears under its name when it is complete.

        Raises
        ------
        InputError
            The file exists or cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise InputError(f"trace: {path} exists and is not overwritten; give another path or remove it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(path)
        except OSError as error:
            raise InputError(
                f"trace: {path} cannot be written ({error.strerror or error}); free space or name another"
            ) from None

    def write(self, path: Path) -> str:
        """Write or replace a file and return its sha256.

        The file appears under its name when it is complete.

        Raises
        ------
        OSError
            The file cannot be written, for instance because the disk is full; nothing is left of it.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(values) for name, values in self.tensors.items()}
        metadata = dict(self.metadata)
        metadata[CHECKSUM] = checksum(metadata, tensors)
        with whole_file(path) as part:
            try:
                save_file(tensors, part, {ENTRY: json.dumps(metadata)})
            except SafetensorError as error:
                raise OSError(str(error)) from None
        return file_sha256(path)

    @classmethod
    def load(cls, path: Path | str) -> Trace:
        """Read and check a file that `save` wrote, or open a folder that `capture_checkpoint` wrote.

        A layer of a folder is read, and checked against its sha256, when one of its tensors is needed.

        Raises
        ------
        InputError
            The file is missing, truncated, not a trace, of another version, or holds infinities or NaN; or the folder
            holds no finished capture.
        """
        path = Path(path)
        if path.is_dir():
            return cls._load_folder(path)
        if not path.is_file():
            raise InputError(f"trace: {path} does not exist; capture one with `anda trace capture`")
        metadata, tensors = _read(path)
        trace = cls(metadata, tensors)
        trace._validate(path)
        return trace

    @classmethod
    def _load_folder(cls, path: Path) -> Trace:
        file = path / FOLDER_FILE
        if not file.is_file():
            raise InputError(f"trace: {path} holds no {FOLDER_FILE}; give a folder of `anda trace capture`")
        record = read_record(file, f"trace: {file} is damaged", FIX)
        metadata, files = record["metadata"], {int(layer): sha256 for layer, sha256 in record["files"].items()}
        if missing := set(metadata["layers"]) - set(files):
            done = f"{len(files)} of {len(files) + len(missing)} layers"
            raise InputError(f"trace: {path} holds {done}; run the same `anda trace capture` again to finish it")
        return cls(metadata, _FolderTensors(path, files))

    def _require_layer(self, layer: int) -> None:
        if layer not in self.metadata["layers"]:
            raise InputError(f"layer: {layer} was not captured; the trace holds {_listed(self.metadata['layers'])}")

    def _validate(self, path: Path) -> None:
        found = self.metadata.get("capture_version")
        if found != CAPTURE_VERSION:
            raise InputError(f"trace: {path} has capture version {found}, not {CAPTURE_VERSION}; {FIX}")
        check(TraceMetadata, self.metadata, f"trace: {path}")
        try:
            for layer in self.metadata["layers"]:
                for module in MODULES:
                    _require_activation(
                        path, f"activations.{layer}.{module}", self.activation(layer, module), self.metadata["tokens"]
                    )
                for name in self.metadata["linears"]:
                    self._require_weights(path, layer, name)
        except KeyError as missing:
            raise InputError(f"trace: {path} lacks the entry {missing}; {FIX}") from None

    def _require_weights(self, path: Path, layer: int, name: str) -> None:
        module = next(module for module, names in MODULE_LINEARS.items() if name in names)
        channels = self.activation(layer, module).shape[1]
        try:
            if (found := len(self.weights(layer, name).codes)) != channels:
                raise InputError(f"have {found} input channels, the activations of {module} {channels}; {FIX}")
        except InputError as error:
            raise InputError(f"trace: {path}: weights.{layer}.{name}: {error}") from None


def layer_file(layer: int) -> str:
    """Name of a layer's file in a trace folder; the file is itself a trace."""
    return f"layer-{layer:03d}.safetensors"


class _FolderTensors(Mapping[str, NDArray[Any]]):
    """Tensors of all layers of a folder; memory holds those of the layer last used."""

    def __init__(self, folder: Path, files: dict[int, str]) -> None:
        self._folder, self._files = folder, files
        self._layer: int | None = None
        self._tensors: Mapping[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        layer = int(name.split(".")[1])
        if layer != self._layer:
            self._tensors, self._layer = self._read(layer), layer
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return (name for layer in sorted(self._files) for name in self._read(layer))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, layer: int) -> Mapping[str, NDArray[Any]]:
        path = self._folder / layer_file(layer)
        trace = Trace.load(path)
        if file_sha256(path) != self._files[layer]:
            raise InputError(f"trace: {path} is not the file that was captured; capture it again")
        return trace.tensors


def sampled_layers(layers: int) -> tuple[int, ...]:
    """Return the first layer, one inside, and the last. Of SmolLM2-135M's 30, layer 11 has the largest inputs of ``d``."""
    return tuple(sorted({0, layers * 3 // 8, layers - 1}))


def require_layers(shape: ModelShape, layers: Sequence[int]) -> None:
    """Raise `InputError` unless there are layers, and the model has all of them."""
    if not layers:
        raise InputError("layers: there are none; name at least one")
    for layer in layers:
        check_integer("layers", layer, 0, shape.layers - 1)


def capture_trace(
    decoder: LanguageModel, blocks: TextBlocks, layers: Sequence[int] | None = None, tokens: int = 64
) -> Trace:
    """Run the start of the first block and keep, as FP16, the activations that enter the GeMMs of some layers.

    Parameters
    ----------
    decoder
        The model.
    blocks
        The text; only its first block is read.
    layers
        Layers to keep; None keeps `sampled_layers`.
    tokens
        Number of tokens to read from the block.

    Raises
    ------
    InputError
        A layer does not exist, or the block is too short.
    """
    layers = sampled_layers(decoder.shape.layers) if layers is None else layers
    require_layers(decoder.shape, layers)
    check_integer("tokens", tokens, 1, blocks.tokens.shape[1])
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
        tensors |= weight_tensors(layer, name, weight)
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


def weight_tensors(layer: int, name: str, weights: Int4Weights) -> dict[str, NDArray[Any]]:
    """Tensors of a linear layer, under the names that `Trace.weights` reads."""
    prefix = f"weights.{layer}.{name}"
    tensors: dict[str, NDArray[Any]] = {f"{prefix}.codes": weights.codes, f"{prefix}.scales": weights.scales}
    if weights.offsets is not None:
        tensors[f"{prefix}.offsets"] = weights.offsets
    return tensors


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    with border(f"trace: {path} is truncated or no safetensors file", "capture it again"):
        header, tensors = read_tensors(path)
    with border(
        f"trace: {path} is not a trace of this program", "capture one with `anda trace capture`", with_reason=False
    ):
        metadata = dict(parse_json(header[ENTRY]))
    expected = metadata.pop(CHECKSUM, None)
    if expected is not None and expected != checksum(metadata, tensors):
        raise InputError(f"trace: {path} is damaged: its values do not match its checksum; {FIX}")
    return metadata, tensors


def _require_activation(path: Path, name: str, values: NDArray[Any], tokens: int) -> None:
    if values.dtype != np.float16 or values.ndim != 2:
        raise InputError(
            f"trace: {path}: {name} is {values.dtype} {list(values.shape)}; give float16 [tokens, channels]"
        )
    if len(values) != tokens:
        raise InputError(f"trace: {path}: {name} has {len(values)} tokens, the metadata say {tokens}; {FIX}")
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"trace: {path}: {name} holds {values[index]} at {index}; capture it again")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))

"""Linear layers of a decoder quantised again: in memory, and as folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...formats.weight_registry import read_weights
from ...formats.weights.base import PackedWeights, WeightQuantizer
from ..files import whole_file
from ..gradients.calibration import Fisher, Hessians, Progress
from ..inference.decoder import Decoder
from ..models.parameters import MODULE_LINEARS, Linear

PackedLinears = Mapping[tuple[int, str], PackedWeights]
"""Packed weights by layer and name: q k v o gate up down."""

MODEL_FILE = "model.json"
FOLDER_VERSION = 2

_MODULE_OF = {name: module for module, names in MODULE_LINEARS.items() for name in names}


def quantize_linears(
    decoder: Decoder,
    quantizer: WeightQuantizer,
    hessians: Hessians | None = None,
    fisher: Fisher | None = None,
    progress: Progress | None = None,
) -> dict[tuple[int, str], PackedWeights]:
    """Quantise every linear layer of a decoder.

    Parameters
    ----------
    decoder
        The model; its weights are dequantised first.
    quantizer
        The quantisation method.
    hessians
        Hessians of the inputs, for methods that need them.
    fisher
        Fisher information of the weights, for methods that need it.
    progress
        Called with the number of finished linear layers and the number of all of them.

    Raises
    ------
    InputError
        The statistic that the method needs is missing, or a layer does not fit the method.
    """
    keys = list(_linears(decoder))
    packed: dict[tuple[int, str], PackedWeights] = {}
    for layer, name in keys:
        weights = decoder.weights.layers[layer].linears[name].weights.dequantize()
        statistic: NDArray[np.floating] | None = None
        if quantizer.statistic == "hessian" and hessians is not None:
            statistic = hessians[layer, _MODULE_OF[name]]
        elif quantizer.statistic == "fisher" and fisher is not None:
            statistic = fisher[layer, name]
        try:
            packed[layer, name] = quantizer.quantize(weights, statistic)
        except InputError as error:
            raise InputError(f"layer {layer} {name}: {error}") from None
        if progress:
            progress(len(packed), len(keys))
    return packed


def with_linears(decoder: Decoder, packed: PackedLinears) -> Decoder:
    """Return the decoder with these weights in its linear layers; its `sha256` covers them too."""
    digest = hashlib.sha256(decoder.sha256.encode())
    linears = [dict(layer.linears) for layer in decoder.weights.layers]
    for (layer, name), weights in sorted(packed.items(), key=lambda item: item[0]):
        linears[layer][name] = Linear(weights, linears[layer][name].bias)
        digest.update(f"{layer}.{name}".encode() + weights.to_bytes())
    layers = [replace(layer, linears=own) for layer, own in zip(decoder.weights.layers, linears, strict=True)]
    return decoder.with_weights(replace(decoder.weights, layers=layers), digest.hexdigest())


def average_bits(packed: PackedLinears, bits: Callable[[PackedWeights], float]) -> float:
    """Mean bits per weight over all weights; `bits` gives the bits per weight of one matrix."""
    sizes = [weights.shape[0] * weights.shape[1] for weights in packed.values()]
    total = sum(bits(weights) * size for weights, size in zip(packed.values(), sizes, strict=True))
    return total / sum(sizes)


def save_linears(folder: Path | str, decoder: Decoder, packed: PackedLinears, about: Mapping[str, Any]) -> None:
    """Write a file for each linear layer, and ``model.json``, which names their model.

    Parameters
    ----------
    folder
        The folder; it is made if it does not exist.
    decoder
        The model that was quantised.
    packed
        Linear layers of the quantised model.
    about
        JSON values to keep with the model: method, parameters, measurements.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for (layer, name), weights in packed.items():
        data = weights.to_bytes()
        with whole_file(path / _file_name(layer, name)) as part:
            part.write_bytes(data)
        files[_file_name(layer, name)] = hashlib.sha256(data).hexdigest()
    description = {
        "version": FOLDER_VERSION,
        "model": decoder.shape.name,
        "model_sha256": decoder.sha256,
        "files": files,
        "about": dict(about),
    }
    with whole_file(path / MODEL_FILE) as part:
        part.write_text(json.dumps(description, indent=1) + "\n", "utf-8")


def load_linears(folder: Path | str, decoder: Decoder) -> Decoder:
    """Return the decoder with linear layers from a folder that `save_linears` wrote for it.

    Raises
    ------
    InputError
        The folder does not exist or belongs to another model, or a file is missing or damaged.
    """
    path = Path(folder)
    with border(f"model: {path / MODEL_FILE} cannot be read", "write the folder again", with_reason=False):
        description = read_json(path / MODEL_FILE)
        version, sha256 = description["version"], description["model_sha256"]
        files: dict[str, str] = dict(description["files"])
    if version != FOLDER_VERSION:
        raise InputError(
            f"model: {path} is version {version}, this program reads {FOLDER_VERSION}; write the folder again"
        )
    if sha256 != decoder.sha256:
        raise InputError(f"model: {path} belongs to another file of {decoder.shape.name}; load that file")
    packed: dict[tuple[int, str], PackedWeights] = {}
    for layer, name in _linears(decoder):
        file = path / _file_name(layer, name)
        if not file.is_file():
            raise InputError(f"model: {file} does not exist; write the folder again")
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != files.get(file.name):
            raise InputError(f"model: {file} is damaged; write the folder again")
        packed[layer, name] = read_weights(data)
    return with_linears(decoder, packed)


def _linears(decoder: Decoder) -> Iterator[tuple[int, str]]:
    for layer, weights in enumerate(decoder.weights.layers):
        for name in weights.linears:
            yield layer, name


def _file_name(layer: int, name: str) -> str:
    return f"{layer}.{name}.safetensors"

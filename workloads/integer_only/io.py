"""Integer models as folders: ``model.json`` and ``integer.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_positive
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...formats.documents.tensor_file import load_tensors
from ...formats.integer_only import DyadicTensor
from ...formats.weights.bit_packing import pack_codes, unpack_codes
from ..files import whole_file
from ..models.shape_files import shape_of
from ..models.shapes import ModelShape
from .weights import LINEARS, Factors, IntegerBlock, IntegerConfig, IntegerDecoderWeights

MODEL_FILE = "model.json"
TENSOR_FILE = "integer.safetensors"
FOLDER_VERSION = 1

Arrays = dict[str, NDArray[Any]]


def save_integer_weights(folder: Path | str, weights: IntegerDecoderWeights, about: Mapping[str, Any]) -> float:
    """Write an integer model.

    Codes are packed to their width; multipliers are uint16, zero points uint8, gains and the embedding int16.

    Parameters
    ----------
    folder
        The folder; it is made if it does not exist.
    weights
        The model.
    about
        JSON values to keep with the model.

    Returns
    -------
    float
        Bits per weight of the linear layers, from their size in bytes.
    """
    from safetensors.numpy import save

    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    arrays = _to_arrays(weights)
    data = save(arrays)
    with whole_file(path / TENSOR_FILE) as part:
        part.write_bytes(data)
    description: dict[str, Any] = {
        "version": FOLDER_VERSION,
        "shape": asdict(weights.shape),
        "config": asdict(weights.config),
        "rope_theta": weights.rope_theta,
        "sha256": hashlib.sha256(data).hexdigest(),
        "about": dict(about),
    }
    description["checksum"] = _checksum(description)
    with whole_file(path / MODEL_FILE) as part:
        part.write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    linear_bytes = sum(array.nbytes for name, array in arrays.items() if name.split(".")[1] in LINEARS)
    count = sum(matrix.codes.size for block in weights.blocks for matrix in block.linears.values())
    return 8 * linear_bytes / count


def load_integer_weights(folder: Path | str) -> IntegerDecoderWeights:
    """Read a folder that `save_integer_weights` wrote.

    Raises
    ------
    InputError
        The folder does not exist or has another version, or a file is damaged.
    """
    path = Path(folder)
    damage = f"model: {path} holds no readable integer model", "write the folder again"
    with border(*damage, with_reason=False):
        description = read_json(path / MODEL_FILE)
        version, sha256 = description["version"], description["sha256"]
        data = path.joinpath(TENSOR_FILE).read_bytes()
    if version != FOLDER_VERSION:
        raise InputError(
            f"model: {path} is version {version}, this program reads {FOLDER_VERSION}; write the folder again"
        )
    # folders of earlier versions have no checksum of the description
    if description.pop("checksum", None) not in (None, _checksum(description)):
        raise InputError("; ".join(damage))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"model: {path / TENSOR_FILE} is damaged; write the folder again")
    with border(*damage):
        shape, config = shape_of(description["shape"], "shape"), IntegerConfig(**description["config"])
        rope_theta = check_positive("rope_theta", description["rope_theta"])
        return _from_arrays(shape, config, rope_theta, load_tensors(data)[1])


def _checksum(description: Mapping[str, Any]) -> str:
    """Checksum of ``model.json`` without its own entry."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _to_arrays(weights: IntegerDecoderWeights) -> Arrays:
    arrays: Arrays = {
        "model.embedding.codes": weights.embedding.codes,
        "model.embedding.k": weights.embedding.k.astype(np.int16),
    }
    _put_matrix(arrays, "model.head", weights.head, weights.config.head_bits)
    _put_factors(arrays, "model.epsilon", weights.epsilon)
    _put_factors(arrays, "model.final_norm", weights.final_norm)
    for layer, block in enumerate(weights.blocks):
        _put_factors(arrays, f"{layer}.input_norm", block.input_norm)
        _put_factors(arrays, f"{layer}.post_norm", block.post_norm)
        if block.gate_smooth is not None:
            _put_factors(arrays, f"{layer}.gate_smooth", block.gate_smooth)
        for name, matrix in block.linears.items():
            _put_matrix(arrays, f"{layer}.{name}", matrix, weights.config.weight_bits)
    return arrays


def _put_factors(arrays: Arrays, name: str, factors: Factors) -> None:
    arrays[f"{name}.m"] = factors.m.astype(np.int16)
    arrays[f"{name}.k"] = np.array([factors.k], np.int16)


def _put_matrix(arrays: Arrays, name: str, matrix: DyadicTensor, bits: int) -> None:
    arrays[f"{name}.codes"] = matrix.codes.astype(np.uint8) if bits == 8 else pack_codes(matrix.codes, bits)
    arrays[f"{name}.m"] = matrix.m.astype(np.uint16)
    arrays[f"{name}.k"] = np.array([matrix.k], np.int16)
    arrays[f"{name}.zero_point"] = matrix.zero_point.astype(np.uint8)


def _from_arrays(shape: ModelShape, config: IntegerConfig, rope_theta: float, arrays: Arrays) -> IntegerDecoderWeights:
    return IntegerDecoderWeights(
        shape=shape,
        config=config,
        rope_theta=rope_theta,
        epsilon=_take_factors(arrays, "model.epsilon"),
        embedding=DyadicTensor.power_of_two(
            arrays["model.embedding.codes"], arrays["model.embedding.k"].astype(np.int64)
        ),
        head=_take_matrix(arrays, "model.head", config.head_bits, shape.hidden),
        final_norm=_take_factors(arrays, "model.final_norm"),
        blocks=[_take_block(shape, config, arrays, layer) for layer in range(shape.layers)],
    )


def _take_block(shape: ModelShape, config: IntegerConfig, arrays: Arrays, layer: int) -> IntegerBlock:
    inputs = {"o": shape.heads * shape.head_dim, "down": shape.ffn}
    smoothed = f"{layer}.gate_smooth.m" in arrays
    return IntegerBlock(
        input_norm=_take_factors(arrays, f"{layer}.input_norm"),
        post_norm=_take_factors(arrays, f"{layer}.post_norm"),
        linears={
            name: _take_matrix(arrays, f"{layer}.{name}", config.weight_bits, inputs.get(name, shape.hidden))
            for name in LINEARS
        },
        gate_smooth=_take_factors(arrays, f"{layer}.gate_smooth") if smoothed else None,
    )


def _take_factors(arrays: Arrays, name: str) -> Factors:
    return Factors(arrays[f"{name}.m"].astype(np.int64), int(arrays[f"{name}.k"][0]))


def _take_matrix(arrays: Arrays, name: str, bits: int, inputs: int) -> DyadicTensor:
    codes = arrays[f"{name}.codes"]
    if bits != 8:
        codes = unpack_codes(codes, bits, inputs).astype(np.uint8)
    m, zero_point = (arrays[f"{name}.{part}"].astype(np.int64) for part in ("m", "zero_point"))
    return DyadicTensor(codes, m, np.asarray(int(arrays[f"{name}.k"][0])), zero_point)

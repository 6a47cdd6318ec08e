"""Decoders with real weights and model shapes, by name or from a checkpoint folder."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...formats import InputError
from ...formats.documents.border import border
from ..fetch import MODEL_SHA256, data_paths, pieced_models
from ..files import file_sha256
from ..models.shapes import ModelShape, model_shape

if TYPE_CHECKING:  # a shape is loaded without what runs a model
    from ..inference.decoder import Decoder

GIVE = "give a YAML file, a folder with config.json or a GGUF file"
FETCHED_MODEL = "SmolLM2-135M"


def load_shape(model: str | Path | ModelShape) -> ModelShape:
    """Return the shape of a model, without its weights.

    Parameters
    ----------
    model
        A name (`model_names`), a YAML file (``anda models --schema``), a folder with ``config.json`` or that file, the
        header of a GGUF file, or the shape itself.

    Raises
    ------
    InputError
        The model is unknown, or its file is damaged or asks for what no shape expresses.
    """
    if isinstance(model, ModelShape):
        return model
    path, text = Path(model), str(model)
    if _is_folder(text):
        path = path / "config.json"
    if path.suffix in (".json", ".yaml", ".yml") or is_gguf(path):
        with border(f"model: {text[:200]!r} cannot be read", GIVE):
            state = path.stat() if path.exists() else None
        return _file_shape(path, *((state.st_mtime_ns, state.st_size) if state else (0, 0)))
    try:
        return model_shape(text)  # names such as OPT-1.3B have a point, too
    except InputError as error:
        if path.parent != Path():
            raise InputError(f"model: there is no {text[:200]!r}; {GIVE}") from None
        message, mark, near = str(error).partition("; did you mean")
        raise InputError(f"{message}, or {GIVE}{mark}{near}") from None


@lru_cache(maxsize=64)
def _file_shape(path: Path, *_: int) -> ModelShape:
    """The shape in a file, which is read again when it has changed."""
    from ..models.gguf_shapes import gguf_shape
    from ..models.hf_shapes import config_shape
    from ..models.shape_files import read_shape

    if path.suffix == ".json":
        return config_shape(path, path.resolve().parent.name)
    return gguf_shape(path) if is_gguf(path) else read_shape(path)


def _is_folder(name: str) -> bool:
    """True for a folder; an empty name is not the current folder, and one that is too long is none."""
    return bool(name) and os.path.isdir(name)  # noqa: PTH112


def load_decoder(name: str = "smollm2-135m", path: Path | str | None = None, group_size: int | None = 128) -> Decoder:
    """Load a model: one that `fetch` downloads, a GGUF file (`read_gguf`) or a checkpoint folder (`load_checkpoint`).

    Parameters
    ----------
    name
        SmolLM2-135M, a model of `fetch_model`, the path of a GGUF file or a Hugging Face checkpoint folder.
    path
        GGUF file that holds the model `name`; None takes the file that `fetch` downloaded.
    group_size
        Number of input channels that share a weight scale when weights are rounded to INT4; None leaves them as they are.

    Raises
    ------
    InputError
        The model is unknown, or its file is missing, damaged or of another model.
    """
    from .checkpoint import load_checkpoint

    if path is None and _is_folder(name):
        return load_checkpoint(name, group_size)
    if path is None and is_gguf(name):
        return _read(Path(name), None, group_size)
    if path is None and (pieced := pieced_models().get(name.lower())) is not None:
        if not pieced.path.is_file():
            raise InputError(f"model: {pieced.path} does not exist; run `anda fetch {pieced.name}`")
        return _read(pieced.path, None, group_size)
    shape = model_shape(name)
    if path is None and shape.name != FETCHED_MODEL:
        raise InputError(
            f"model: {shape.name} has no weights here; use {FETCHED_MODEL} or give the path of a GGUF file"
        )
    file = data_paths().model if path is None else Path(path)
    if not file.is_file():
        raise InputError(f"model: {file} does not exist; run `anda fetch` or give the path of a GGUF file")
    if path is not None:
        return _read(file, shape, group_size)
    if (sha256 := file_sha256(file)) != MODEL_SHA256:
        raise InputError(f"model: {file} is damaged (its sha256 is {sha256}); run `anda fetch`")
    return _read(file, shape, group_size, sha256)


def _read(file: Path, shape: ModelShape | None, group_size: int | None, known_sha256: str | None = None) -> Decoder:
    """Decoder of a GGUF file; a group size other than the default is part of its identity."""
    from ..inference.decoder import Decoder
    from .gguf_file import read_gguf

    weights, tokenizer = read_gguf(file, shape, group_size)
    sha256 = known_sha256 or file_sha256(file)
    return Decoder(weights, tokenizer, sha256 if group_size == 128 else f"{sha256} group {group_size}")


def is_gguf(path: Path | str) -> bool:
    """True for the name of a GGUF file."""
    return str(path).lower().endswith(".gguf")

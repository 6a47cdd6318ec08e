"""Traces of whole checkpoints, one layer at a time: memory holds the weights and activations of one layer.

All blocks pass a layer before the next layer is read. Between layers the residual streams are kept in a file: a capture
that was killed goes on after its last finished layer and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..files import LOCK, file_sha256, locked, unfinished, whole_file
from ..inference.decoder import require_length
from ..inference.operators import to_fp16
from ..loading.checkpoint import Checkpoint, open_checkpoint
from ..models.parameters import FloatArray, linear_names
from ..models.precision import MODULES
from ..text.blocks import load_blocks
from .metadata import FOLDER_FILE, read_record, write_record
from .trace import CAPTURE_VERSION, Trace, layer_file, require_layers, weight_tensors


@dataclass(frozen=True, kw_only=True)
class CaptureText:
    """Text that the model reads during a capture."""

    text: str = "wiki"
    """Name of a text or path of a text file; see `load_blocks`."""
    split: str = "calibration"
    tokens: int = 64
    """Length of a block in tokens."""
    blocks: int = 1
    """Number of blocks."""


def capture_checkpoint(
    folder: Path | str,
    out: Path | str,
    text: CaptureText | None = None,
    *,
    layers: Sequence[int] | None = None,
    group_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Run a checkpoint on text; write the FP16 activations that enter the GeMMs of its layers, and the INT4 weights.

    The folder `out` gets a trace file for each layer, and ``capture.json`` with the sha256 of each file. `Trace.load` opens
    the folder as one trace. A second call with the same arguments continues an interrupted capture.

    Parameters
    ----------
    folder
        The checkpoint folder; see `load_checkpoint`.
    out
        A new or empty folder, or that of the interrupted capture.
    text
        The text that the model reads.
    layers
        Layers to keep; None keeps all.
    group_size
        Number of input channels that share a weight scale when floats are rounded to INT4.
    progress
        Called after each layer with the number of finished layers and the number of all layers.

    Raises
    ------
    InputError
        The checkpoint, its tokenizer, the text or a layer cannot be used, `out` is not empty, or it cannot be written.
        Finished layers stay.
    """
    capture = _Capture(open_checkpoint(folder, group_size), Path(out), text or CaptureText(), layers)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with locked(Path(out)):
            capture.run(progress)
    except OSError as error:
        raise InputError(
            f"out: {out} cannot be written ({error.strerror or error}); fix that and run the same command again, "
            f"which goes on after {capture.done} finished layers"
        ) from None
    return Path(out)


class _Capture:
    """One capture: its folder and its progress."""

    def __init__(self, checkpoint: Checkpoint, out: Path, text: CaptureText, layers: Sequence[int] | None) -> None:
        self._checkpoint, self._out = checkpoint, out
        shape = checkpoint.shape
        self._kept = sorted(set(range(shape.layers) if layers is None else layers))
        require_layers(shape, self._kept)
        tokenizer = checkpoint.tokenizer()
        if tokenizer is None:
            raise InputError(f"tokenizer: {shape.name} has no tokenizer.json; copy it into the checkpoint folder")
        require_length(shape, text.tokens)
        blocks = load_blocks(tokenizer, text.text, text.split, text.tokens, text.blocks)
        self._tokens = blocks.tokens
        self._metadata: dict[str, Any] = {
            "model": shape.name,
            "model_sha256": checkpoint.sha256,
            "tokenizer_sha256": tokenizer.sha256,
            "text": text.text,
            "split": text.split,
            "text_sha256": blocks.sha256,
            "blocks": text.blocks,
            "tokens": blocks.tokens.size,
            "layers": self._kept,
            "linears": list(linear_names(shape)),
            "weight_group_size": None,
            "stored_dtype": checkpoint.stored_dtype,
            "quantization": checkpoint.quantization,
            "dtype": "float16",
            "capture_version": CAPTURE_VERSION,
        }
        self._files: dict[str, str] = {}
        self._stream_sha256: str | None = None
        self.done = 0
        """Number of finished layers, kept or not."""

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        last = max(self._kept) + 1
        self._resume(last)
        if self.done == last:
            return
        stream = self._first_stream() if self.done == 0 else np.load(self._stream_file(self.done))
        for layer in range(self.done, last):
            self._run_layer(layer, stream)
            self._stream_sha256 = self._write_stream(layer + 1, stream) if layer + 1 < last else None
            self._write_record(layer + 1)
            self._stream_file(layer).unlink(missing_ok=True)
            if progress:
                progress(self.done, last)

    def _resume(self, last: int) -> None:
        """Begin a new folder, or read the progress of an interrupted capture; one with damaged files begins again."""
        record = self._read_record()
        if record is None:
            if any(path.name != LOCK for path in self._out.iterdir()):
                raise InputError(f"out: {self._out} is not empty; name a new folder")
            self._write_record(0)
            return
        metadata: dict[str, Any] = record["metadata"]
        for name, value in self._metadata.items():
            if name != "weight_group_size" and metadata.get(name) != value:
                raise InputError(
                    f"out: {self._out} holds a capture with {name} {metadata.get(name)}, not {value}; name a new folder"
                )
        kept = self._metadata
        self._metadata, self._files, self.done = metadata, record["files"], record["done"]
        self._stream_sha256 = record["stream"]
        if not self._is_intact(last):
            self._metadata, self._files, self._stream_sha256 = kept, {}, None
            self._write_record(0)
        for left in (*self._out.glob("stream-*.npy"), *unfinished(self._out)):
            if left != self._stream_file(self.done):
                left.unlink()

    def _is_intact(self, last: int) -> bool:
        """True if all files that the record names are as they were written."""
        expected = {self._out / layer_file(int(layer)): sha256 for layer, sha256 in self._files.items()}
        if 0 < self.done < last:
            expected[self._stream_file(self.done)] = self._stream_sha256 or ""
        return all(path.is_file() and file_sha256(path) == sha256 for path, sha256 in expected.items())

    def _first_stream(self) -> FloatArray:
        """Residual streams before the first layer: float32 ``[blocks, tokens, hidden]``."""
        return np.stack([self._checkpoint.embed(tokens) for tokens in self._tokens])

    def _run_layer(self, layer: int, stream: FloatArray) -> None:
        """Run a layer on all blocks, in place, and write its trace if it is kept."""
        decoder = self._checkpoint.one_layer(layer)
        seen: dict[str, list[NDArray[np.float16]]] = {module: [] for module in MODULES}

        def hook(module: str, _: int, x: FloatArray) -> FloatArray:
            rounded = to_fp16(x)
            if not np.isfinite(rounded).all():
                raise InputError(f"activations of {module} in layer {layer} overflow FP16; use another model")
            if layer in self._kept:
                seen[module].append(rounded.astype(np.float16))
            return rounded

        for x in stream:
            decoder.run(x, [0], hook)
        if layer not in self._kept:
            return
        weights = {name: decoder.linear(0, name) for name in self._metadata["linears"]}
        # with one group for all channels, layers have groups of different lengths; the longest is right for all
        self._metadata["weight_group_size"] = max(matrix.group_size for matrix in weights.values())
        tensors: dict[str, NDArray[Any]] = {
            f"activations.{layer}.{module}": np.concatenate(parts) for module, parts in seen.items()
        }
        for name, matrix in weights.items():
            tensors |= weight_tensors(layer, name, matrix)
        trace = Trace(self._metadata | {"layers": [layer]}, tensors)
        self._files[str(layer)] = trace.write(self._out / layer_file(layer))

    def _stream_file(self, layer: int) -> Path:
        """File of the residual streams before a layer."""
        return self._out / f"stream-{layer:03d}.npy"

    def _write_stream(self, layer: int, stream: FloatArray) -> str:
        """Keep the residual streams before a layer, and return the checksum of their file."""
        path = self._stream_file(layer)
        with whole_file(path) as part, part.open("wb") as file:
            np.save(file, stream)
        return file_sha256(path)

    def _write_record(self, done: int) -> None:
        write_record(self._out / FOLDER_FILE, self._metadata, done, self._files, self._stream_sha256)
        self.done = done

    def _read_record(self) -> dict[str, Any] | None:
        path = self._out / FOLDER_FILE
        return read_record(path, f"out: {path} is damaged", "name a new folder") if path.is_file() else None

"""Traces: capture one, and summarise its metadata and the range of each activation tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import workloads
from ...formats import InputError
from ...formats.numeric.alignment import GROUP_SIZE
from ...formats.numeric.fp16 import split_fp16
from ...workloads import MODULES, Trace
from ...workloads.traces.capture import CaptureText, capture_checkpoint
from ..files import require_new_file
from ..inputs import as_model, as_trace
from ..options.parse import several
from ..options.question import question
from ..options.result import Result
from ..options.traces import CaptureOptions, TraceOptions


@dataclass(frozen=True)
class TraceSummary(Result):
    """Result of `trace_info`, and of `capture_trace`.

    Attributes
    ----------
    trace
        The trace.
    """

    trace: Trace

    def to_dict(self) -> dict[str, Any]:
        """The document that ``anda trace info --json -`` prints."""
        return {"metadata": dict(self.trace.metadata), "activations": self.records()}

    def records(self) -> list[dict[str, Any]]:
        """One record for each captured activation tensor: shape, range, and spread of exponents in a group."""
        return [
            {"layer": layer, "module": module, **_summarise(self.trace.activation(layer, module))}
            for layer in self.trace.metadata["layers"]
            for module in MODULES
        ]


@question(TraceOptions)
def trace_info(options: TraceOptions) -> TraceSummary:
    """Show the content of a trace: source, shapes, ranges, and the spread of exponents in groups.

    Returns
    -------
    TraceSummary
        One row for each captured activation tensor.

    Raises
    ------
    InputError
        The trace is missing or damaged, or has infinities or NaN.
    """
    return TraceSummary(as_trace(options.trace))


@question(CaptureOptions)
def capture_trace(options: CaptureOptions) -> TraceSummary:
    """Run a model on real text, and save the FP16 activations that enter qkv, o, u and d, and the INT4 weights.

    With `hf`, layer by layer into a folder: the whole model is never in memory, and an interrupted capture continues when
    it is started again.

    Returns
    -------
    TraceSummary
        The trace; one row for each captured activation tensor.

    Raises
    ------
    InputError
        An option is out of its range, the model or text was not fetched, or `out` exists.
    """
    layers = None if options.layers is None else several(options.layers)
    if options.hf is not None:
        if options.backend != CaptureOptions.backend:
            raise InputError(
                "backend: hf runs layer by layer in NumPy; give the folder as model with backend transformers"
            )
        return TraceSummary(_capture_checkpoint(options, layers))
    for field in ("blocks", "group_size"):
        if getattr(options, field) is not None:
            raise InputError(f"{field}: applies to checkpoints only; remove it or give hf")
    require_new_file("out", options.out)
    decoder = as_model(options.model or "smollm2-135m", options)
    text = decoder.blocks(str(options.text), options.split, tokens=max(options.tokens, 2), blocks=1)
    trace = workloads.capture_trace(decoder, text, layers=layers, tokens=options.tokens)
    trace.save(options.out)
    return TraceSummary(trace)


def _capture_checkpoint(options: CaptureOptions, layers: list[int] | None) -> Trace:
    if options.model is not None:
        raise InputError("model: the checkpoint is the model; remove model or hf")
    assert options.hf is not None
    folder, out = Path(options.hf), Path(options.out)
    blocks = 1 if options.blocks is None else options.blocks
    group_size = 128 if options.group_size is None else options.group_size
    text = CaptureText(text=str(options.text), split=options.split, tokens=options.tokens, blocks=blocks)
    capture_checkpoint(folder, out, text, layers=layers, group_size=group_size, progress=options.on_layer)
    return Trace.load(out)


def _summarise(x: NDArray[np.float16]) -> dict[str, float]:
    """Shape, range, and mean distance from the group's exponent of activations ``[tokens, channels]``."""
    wide = x.astype(np.float64)
    return {
        "tokens": x.shape[0],
        "channels": x.shape[1],
        "largest": float(np.abs(wide).max()),
        "rms": float(np.sqrt(np.square(wide).mean())),
        "zeros": float((x == 0).mean()),
        "mean_exponent_gap": _exponent_gap(x),
    }


def _exponent_gap(x: NDArray[np.float16]) -> float:
    """Mean difference, over nonzero values, between the largest exponent of a group of 64 and the value's exponent."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % GROUP_SIZE)))
    groups = np.ascontiguousarray(padded).reshape(len(x), -1, GROUP_SIZE)
    exponents = split_fp16(groups.view(np.uint16)).exponents.astype(np.int64)
    gaps = exponents.max(axis=-1, keepdims=True) - exponents
    nonzero = groups != 0
    return float(gaps[nonzero].mean()) if nonzero.any() else 0.0

"""What a captured trace holds, as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.numeric.fp16 import split_fp16
from ...workloads import MODULES, Trace

GROUP = 64


def summarise_trace(path: Path | str) -> dict[str, Any]:
    """Metadata and one record for each captured activation tensor.

    Raises:
        InputError: the trace is missing, damaged, or holds infinities or NaN.
    """
    trace = Trace.load(path)
    return {
        "metadata": dict(trace.metadata),
        "activations": [
            {"layer": layer, "module": module, **_summarise(trace.activation(layer, module))}
            for layer in trace.metadata["layers"]
            for module in MODULES
        ],
    }


def _summarise(x: NDArray[np.float16]) -> dict[str, float]:
    """Range of activations ``[tokens, channels]``, and how far below their group's exponent the values lie."""
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
    """Mean of (largest exponent of the group of 64 - own exponent) over the values that are not zero."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % GROUP)))
    groups = np.ascontiguousarray(padded).reshape(len(x), -1, GROUP)
    exponents = split_fp16(groups.view(np.uint16)).exponents.astype(np.int64)
    gaps = exponents.max(axis=-1, keepdims=True) - exponents
    nonzero = groups != 0
    return float(gaps[nonzero].mean()) if nonzero.any() else 0.0

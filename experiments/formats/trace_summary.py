"""Summary of a captured trace: metadata, and the range of each activation tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.numeric.alignment import GROUP_SIZE
from ...formats.numeric.fp16 import split_fp16
from ...workloads import MODULES, Trace


def summarise_trace(source: Trace | Path | str) -> dict[str, Any]:
    """Metadata, and one record for each captured activation tensor, as JSON values.

    Parameters
    ----------
    source
        A trace, or the path of one.

    Raises
    ------
    InputError
        The trace is missing or damaged, or has infinities or NaN.
    """
    trace = source if isinstance(source, Trace) else Trace.load(source)
    return {
        "metadata": dict(trace.metadata),
        "activations": [
            {"layer": layer, "module": module, **_summarise(trace.activation(layer, module))}
            for layer in trace.metadata["layers"]
            for module in MODULES
        ],
    }


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

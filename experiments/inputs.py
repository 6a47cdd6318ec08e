"""Models and traces from names, paths or objects, and the folder of finished evaluations: shared by the public functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..workloads import Decoder, Trace


def as_decoder(model: str | Path | Decoder) -> Decoder:
    """A model by name or by the path of its checkpoint folder; an object stays as it is."""
    from ..workloads import load_decoder

    return load_decoder(str(model)) if isinstance(model, str | Path) else model


def as_trace(trace: str | Path | Trace) -> Trace:
    """A trace by the path of its file or folder; an object stays as it is."""
    from ..workloads import Trace

    return Trace.load(trace) if isinstance(trace, str | Path) else trace


def evaluation_cache() -> Path:
    """Folder that stores finished blocks of evaluations, so that an interrupted run continues."""
    from ..workloads import cache_dir

    return cache_dir() / "evaluations"

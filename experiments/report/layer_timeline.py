"""Timeline of the units of an accelerator during one layer of a model, for Perfetto."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...sim.config.defaults import DEFAULT_TECHNOLOGY

TOKENS = 64
"""Number of tokens in the pass; a longer pass repeats the same pattern."""


def write_timeline(point: Mapping[Any, Any], path: Path) -> None:
    """Simulate the four GeMMs of one layer at level ``events``, and write the timeline.

    Parameters
    ----------
    point
        ``model`` (a name or a shape), ``arch``, ``precision``, and optionally ``tokens`` and ``technology``.
    path
        A JSON file of the report; one that a killed run has left is replaced.
    """
    from ...workloads import load_shape
    from ..simulation import simulate

    path.unlink(missing_ok=True)
    simulate(
        model=point["model"],
        arch=point["arch"],
        precision=point["precision"],
        tokens=min(int(point.get("tokens", TOKENS)), TOKENS, load_shape(point["model"]).max_length),
        level="events",
        technology=point.get("technology", DEFAULT_TECHNOLOGY),
        timeline=path,
    )

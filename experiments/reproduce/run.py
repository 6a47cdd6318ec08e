"""Comparisons computed once: finished figures come from the cache, so that a stopped run continues."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from ... import formats, sim, workloads
from ...workloads import cache_dir
from ...workloads.files import read_checked, write_checked
from ..progress import stage
from .figures.comparison import FigureResult
from .figures.options import FigureOptions
from .figures.registry import figure_names, find_figure

OWN = Path(__file__).parent
NEIGHBOURS = ("precision_search", "synthesis", "study", "paper")
"""Further folders of this room whose code and data figures depend on."""


def compare_figure(name: str, options: FigureOptions | None = None, fresh: bool = False) -> FigureResult:
    """Compare one figure or table with its published values.

    Parameters
    ----------
    name
        One of `figure_names`.
    options
        Precision tuples, models and text.
    fresh
        Compute the figure even if it is in the cache.

    Raises
    ------
    InputError
        The figure is unknown, or an option is invalid.
    """
    options = options or FigureOptions()
    figure = find_figure(name)
    text = json.dumps([name, options.key(figure.depends), program_version()])
    path = cache_dir() / "reproduce" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    kept = None if fresh else _read(path)
    if kept is not None:
        return kept
    start = time.monotonic()
    result = replace(figure.compute(options), seconds=time.monotonic() - start)
    write_checked(path, json.dumps(result.to_dict()).encode())
    return result


def compare_figures(
    options: FigureOptions | None = None,
    fresh: bool = False,
    on_result: Callable[[FigureResult], None] | None = None,
    names: Sequence[str] | None = None,
) -> list[FigureResult]:
    """Compare all figures and tables, in the order of the paper.

    Parameters
    ----------
    options, fresh
        Those of `compare_figure`.
    on_result
        Function called with each finished comparison.
    names
        Figures to compare; None for all.
    """
    chosen = figure_names() if names is None else list(names)
    results: list[FigureResult] = []
    with stage(f"comparing {len(chosen)} figures and tables", len(chosen)) as advance:
        for name in chosen:
            results.append(compare_figure(name, options, fresh))
            advance(1)
            if on_result:
                on_result(results[-1])
    return results


def _read(path: Path) -> FigureResult | None:
    """Cached result, or None if there is none or its file is damaged."""
    content = read_checked(path)
    return None if content is None else FigureResult.from_dict(json.loads(content))


@cache
def program_version() -> str:
    """Hash of the code and data that a comparison can depend on."""
    folders = [*(Path(room.__file__ or "").parent for room in (formats, workloads, sim)), OWN]
    folders += [OWN.parent / name for name in NEIGHBOURS]
    folders.append(OWN.parents[1] / "rtl" / "synthesis" / "results")
    files = (path for folder in folders for path in ([folder] if folder.is_file() else sorted(folder.rglob("*"))))
    kept = [path.read_bytes() for path in files if path.suffix in (".py", ".yaml", ".csv", ".json")]
    return hashlib.sha256(b"".join(kept)).hexdigest()

"""A finished sweep as a report folder: its front, its points, where the energy goes, and where the numbers are from."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ..folder import is_free, make_folder, writing
from .document import Block, Bullets, Heading, Link, Picture, Scatter, ScatterPoint, Table, to_html, to_markdown
from .figures import BLACK, ENERGY_PARTS, GREY, plot_style
from .layer_timeline import write_timeline
from .provenance import PACKAGES, SIMULATION_LIMITS, constant_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DEFAULT_FRONTS = (("loss_percent", "energy_total_pj"), ("seconds", "energy_total_pj"))
ROWS = 500
"""Rows of the page's table; the others are in the Parquet file."""
BARS = 12
AXES = ("loss_percent", "energy_total_pj", "seconds", "area_mm2", "cycles", "dram_bytes", "bops_saving")
LARGER_IS_BETTER = ("bops_saving",)
SUFFIXES = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def write_sweep_report(sweep: Path | str, out: Path | str, pareto: Sequence[str] = (), timeline: bool = True) -> Path:
    """Write ``report.html`` (self-contained), ``report.md``, ``figures/`` (PNG, SVG, PDF) and ``timeline.json``.

    Args:
        sweep: the folder of a finished sweep.
        out: a new or empty folder.
        pareto: columns to minimise together (``-name`` where larger is better); loss or time, and energy, by default.
        timeline: write what the units do in one layer of the best point, at the level of events.

    Returns:
        The path of the page.

    Raises:
        InputError: there are no results, a column does not exist, `out` is not an empty folder or cannot be written.
    """
    from ..sweep import load_results, pareto_front

    folder = Path(out)
    if not is_free(folder):
        raise InputError(f"out: {folder} is not an empty folder and is not overwritten; name another one")
    frame = load_results(sweep)
    costs = list(pareto) or list(next(pair for pair in DEFAULT_FRONTS if pair[0] in frame))
    front = frame.assign(front=pareto_front(frame, costs)).sort_values("energy_total_pj", kind="stable")
    make_folder(folder / "figures")
    with writing(folder):
        _save(folder, "pareto", _front_figure(frame, costs))
        _save(folder, "energy", energy_figure(front[front["front"]].head(BARS)))
        blocks = list(_blocks(front, costs, Path(sweep)))
        if timeline:
            write_timeline(front[front["front"]].iloc[0].to_dict(), folder / "timeline.json")
            blocks.insert(
                -2,
                Link("Timeline of one layer of the front's point of least energy (open in Perfetto)", "timeline.json"),
            )
        (folder / "report.md").write_text(to_markdown(blocks), "utf-8")
        (folder / "report.html").write_text(to_html(blocks, folder), "utf-8")
    return folder / "report.html"


def _blocks(frame: pd.DataFrame, costs: Sequence[str], sweep: Path) -> list[Block]:
    from ..sweep import table_rows, varying_columns

    manifest = json.loads((sweep / "manifest.json").read_text("utf-8"))
    names = [name for name in varying_columns(frame.drop(columns="front")) if name != "key"]
    shown = frame.head(ROWS).assign(front=frame["front"].map({True: "yes", False: ""}))
    columns, rows = table_rows(shown, ["front", *names])
    texts = 1 + sum(frame[name].dtype.kind not in "biuf" for name in names)
    ordered = sorted(range(len(columns)), key=lambda i: i > 0 and frame[columns[i]].dtype.kind in "biuf")
    table = Table(
        [columns[i] for i in ordered], [[row[i] for i in ordered] for row in rows], _table_caption(frame), texts
    )
    fallback = Picture("pareto", f"Front of {', '.join(costs)}; dominated points are grey crosses.", "Pareto front")
    return [
        Heading(manifest.get("title") or "A sweep", 1),
        Bullets(_summary(frame, costs, names)),
        _scatter(frame, costs, names, fallback),
        Heading("Where the energy goes"),
        Picture("energy", f"The front's points, {BARS} at most, least energy first.", "energy breakdown"),
        Heading("Points"),
        table,
        Heading("What is not modelled"),
        Bullets(SIMULATION_LIMITS),
        Heading("Constants"),
        Table(("constant", "value", "unit", "source", "uncertainty"), constant_rows(_technology(frame)), f"Technology {_technology(frame)}.", 5),
        Heading("Provenance"),
        Bullets(_provenance(sweep, manifest)),
    ]  # fmt: skip


def _table_caption(frame: pd.DataFrame) -> str:
    more = f", the first {ROWS} of {len(frame)}" if len(frame) > ROWS else ""
    return f"Least energy first{more}; click a title to sort. Amounts in bytes, seconds, mm² and pJ."


def _technology(frame: pd.DataFrame) -> str:
    return str(frame["technology"].iloc[0])


def _summary(frame: pd.DataFrame, costs: Sequence[str], names: Sequence[str]) -> list[str]:
    """The best point by each of the columns to minimise."""
    lines = [f"{len(frame):,} points, {int(frame['front'].sum())} on the front of {', '.join(costs)}."]
    for cost in costs:
        column = cost.removeprefix("-")
        best = frame.sort_values(column, ascending=not cost.startswith("-"), kind="stable").iloc[0]
        lines.append(f"Best {column}: {best[column]:.6g} at {_label(best.to_dict(), names)}.")
    return lines


def _label(row: Mapping[Any, Any], names: Sequence[str]) -> str:
    inputs = [name for name in names if name not in AXES and name in row and not name.startswith(("energy_", "sram_"))]
    return " ".join(str(row[name]) for name in inputs[:8]) or str(row["arch"])


def _scatter(frame: pd.DataFrame, costs: Sequence[str], names: Sequence[str], fallback: Picture) -> Scatter:
    wanted = list(dict.fromkeys([*(cost.removeprefix("-") for cost in costs), *AXES]))
    columns = [name for name in wanted if name in frame and frame[name].nunique() > 1]
    larger = [name in LARGER_IS_BETTER or f"-{name}" in costs for name in columns]
    points = [
        ScatterPoint(_label(row, names), str(row["arch"]), [_finite(row[name]) for name in columns])
        for row in frame.to_dict("records")
    ]
    return Scatter(columns, larger, points, (0, min(1, len(columns) - 1)), fallback)


def _finite(value: Any) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None


def _front_figure(frame: pd.DataFrame, costs: Sequence[str]) -> Figure:
    from ..sweep import pareto_figure

    x, y = (cost.removeprefix("-") for cost in (costs[0], costs[-1]))
    with plot_style():
        return pareto_figure(frame, x, y, costs)


def energy_figure(frame: pd.DataFrame) -> Figure:
    """Stacked bars of compute, SRAM and DRAM energy, one a row."""
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(9.0, 4.4), layout="constrained")
        axes = figure.subplots()
        places, bottom = range(len(frame)), [0.0] * len(frame)
        for column, (label, color, hatch) in ENERGY_PARTS.items():
            values = [float(v) * 1e-9 for v in frame[f"energy_{column}"]]
            axes.bar(places, values, 0.7, bottom, color=color, hatch=hatch, edgecolor=GREY, linewidth=0.6, label=label)
            bottom = [b + v for b, v in zip(bottom, values, strict=True)]
        for place, top in zip(places, bottom, strict=True):
            axes.text(place, top, f"{top:.3g}", ha="center", va="bottom", fontsize=8, color=BLACK)
        labels = [f"{row['arch']}\n{row['precision']}" for row in frame.to_dict("records")]
        axes.set_xticks(places, labels, rotation=30, ha="right", fontsize=8)
        axes.set_ylabel("energy (mJ)")
        axes.legend(frameon=False)
        return figure


def _save(folder: Path, name: str, figure: Figure) -> None:
    with plot_style():
        for suffix, metadata in SUFFIXES.items():
            figure.savefig(folder / "figures" / f"{name}{suffix}", dpi=160, metadata=metadata)


def _provenance(sweep: Path, manifest: dict[str, Any]) -> list[str]:
    from ..sweep.points import model_version

    return [
        f"command: anda {' '.join(sys.argv[1:])}",
        f"sweep: {sweep}, {json.dumps({k: v for k, v in manifest.items() if v not in (None, [], {}, '')})}",
        "versions: "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + f", Python {platform.python_version()}",
        f"model version (hash of the code and data behind every point): {model_version()}",
        "published constants: Fang et al., HPCA 2025 (arXiv 2411.15982)",
    ]

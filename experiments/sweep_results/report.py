"""Report folder of a finished sweep: its front, its points, the energy of each part, and the sources of the numbers."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...sim.output.palette import GREY
from ..folder import filling, make_folder, require_free, writing
from ..report.document import (
    Block,
    Bullets,
    Heading,
    Link,
    Picture,
    Scatter,
    ScatterPoint,
    TableBlock,
    to_html,
    to_markdown,
)
from ..report.figures import ENERGY_PARTS, plot_style, save_figure
from ..report.layer_timeline import write_timeline
from ..report.provenance import PACKAGES, SIMULATION_LIMITS, constant_rows
from ..sweep.evaluation import MEASURED_COLUMNS
from ..sweep.points import TASK_COLUMNS, model_version, setting_columns
from ..sweep.search import cost_column
from .errors import PairedErrors, rank_values
from .results import load_results, pareto_figure, pareto_front, task_numbers
from .tables import table_rows, varying_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DEFAULT_FRONTS = (("loss_percent", "energy_total_pj"), ("seconds", "energy_total_pj"))
ROWS = 500
"""Rows of the page's table; the others are in the Parquet file."""
COLUMNS = 14
"""Columns of that table; where more vary, the fields of architecture and technology are left out."""
BARS = 12
TASKS = 4
"""Tasks of a sweep whose best points are named at the top of the page."""
AXES = ("loss_percent", "energy_total_pj", "seconds", "area_mm2", "cycles", "dram_bytes", "bops_saving")
LARGER_IS_BETTER = ("bops_saving",)


def write_sweep_report(sweep: Path | str, out: Path | str, pareto: Sequence[str] = (), timeline: bool = True) -> Path:
    """Write ``report.html`` (self-contained), ``report.md``, ``figures/`` (PNG, SVG, PDF) and ``timeline.json``.

    Parameters
    ----------
    sweep
        The folder of a finished sweep.
    out
        A new or empty folder.
    pareto
        Columns to minimise together (``-name`` where larger is better); loss or time, and energy, by default.
    timeline
        Write what the units do in one layer of the best point, at the level of events.

    Returns
    -------
    Path
        The path of the page.

    Raises
    ------
    InputError
        There are no results, a column does not exist, `out` is not an empty folder or cannot be written.
    """
    folder = Path(out)
    require_free(folder)
    command = shlex.join(["anda", "results", str(sweep), "--report", str(out), *_front_option(pareto)])
    frame = load_results(sweep)
    costs = list(pareto) or list(next(pair for pair in DEFAULT_FRONTS if pair[0] in frame))
    front = frame.assign(front=pareto_front(frame, costs)).sort_values("energy_total_pj", kind="stable")
    with filling(folder), writing(folder):
        make_folder(folder / "figures")
        save_figure(_front_figure(frame, costs), folder / "figures" / "pareto")
        save_figure(energy_figure(_bars(front)), folder / "figures" / "energy")
        blocks = list(_blocks(front, costs, Path(sweep), command))
        if timeline:
            write_timeline(front[front["front"]].iloc[0].to_dict(), folder / "timeline.json")
            blocks.insert(
                -2,
                Link("Timeline of one layer of the front's point of least energy (open in Perfetto)", "timeline.json"),
            )
        (folder / "report.md").write_text(to_markdown(blocks), "utf-8")
        (folder / "report.html").write_text(to_html(blocks, folder), "utf-8")
    return folder / "report.html"


def _front_option(pareto: Sequence[str]) -> list[str]:
    return ["--pareto", ",".join(pareto)] if pareto else []


def _blocks(frame: pd.DataFrame, costs: Sequence[str], sweep: Path, command: str) -> list[Block]:
    with border(f"results: {sweep / 'manifest.json'} is damaged", "run the sweep again"):
        manifest: dict[str, Any] = dict(read_json(sweep / "manifest.json"))
    names = [name for name in varying_columns(frame.drop(columns="front")) if name != "key"]
    if len(names) > COLUMNS:
        fields = setting_columns([str(name) for name in frame.columns])
        names = [name for name in names if name not in fields]
    shown = frame.head(ROWS).assign(front=frame["front"].map({True: "yes", False: ""}))
    columns, rows = table_rows(shown, ["front", *names])
    inputs = _varying_inputs(frame)
    texts = 1 + sum(frame[name].dtype.kind not in "biuf" for name in names)
    ordered = sorted(range(len(columns)), key=lambda i: i > 0 and frame[columns[i]].dtype.kind in "biuf")
    table = TableBlock(
        [columns[i] for i in ordered],
        [[_grouped(row[i]) for i in ordered] for row in rows],
        _table_caption(frame),
        texts,
    )
    fallback = Picture("pareto", f"Front of {', '.join(costs)}; dominated points are grey crosses.", "Pareto front")
    return [
        Heading(str(manifest.get("title") or "A sweep"), 1),
        Bullets(_summary(frame, costs, inputs)),
        _scatter(frame, costs, inputs, fallback),
        Heading("Where the energy goes"),
        Picture("energy", _bars_caption(frame), "energy breakdown"),
        Heading("Points"),
        table,
        Heading("What is not modelled"),
        Bullets(SIMULATION_LIMITS),
        Heading("Constants"),
        TableBlock(("constant", "value", "unit", "source", "uncertainty"), constant_rows(_technology(frame)), f"Technology {_technology(frame)}.", 5),
        Heading("Provenance"),
        Bullets(_provenance(command, sweep, manifest)),
    ]  # fmt: skip


def _grouped(cell: str) -> str:
    """A long whole number with separators between thousands."""
    return f"{int(cell):,}" if cell.isdecimal() else cell


def _table_caption(frame: pd.DataFrame) -> str:
    more = f", the first {ROWS} of {len(frame)}" if len(frame) > ROWS else ""
    return f"Least energy first{more}; click a title to sort. Amounts in bytes, seconds, mm² and pJ."


def _technology(frame: pd.DataFrame) -> str:
    return str(frame["technology"].iloc[0])


def _varying_inputs(frame: pd.DataFrame) -> list[str]:
    """The inputs that differ between points; a precision is one input."""
    names = [str(name) for name in frame.columns[: list(frame.columns).index("cycles")]]
    wanted = [name for name in names if name != "key" and not name.startswith(("mantissa_bits_", "format_bits"))]
    return [name for name in wanted if frame[name].nunique() > 1]


def _summary(frame: pd.DataFrame, costs: Sequence[str], names: Sequence[str]) -> list[str]:
    """The best point by each column to minimise, for each task if there are few."""
    tasks = task_numbers(frame)
    count = int(tasks.max()) + 1
    each = f", by itself in each of {count} tasks" if count > 1 else ""
    lines = [f"{len(frame):,} points, {int(frame['front'].sum())} on the front of {', '.join(costs)}{each}."]
    for cost in costs if count <= TASKS else ():
        column = cost.removeprefix("-")
        best = frame.sort_values(column, ascending=not cost.startswith("-"), kind="stable")
        for _, rows in best.groupby(task_numbers(best), sort=True):
            lines.append(_best_line(rows, cost, column, names))
    return lines


def _best_line(rows: pd.DataFrame, cost: str, column: str, names: Sequence[str]) -> str:
    """The best of sorted rows; where several are equal within their error, their number and the one of least energy."""
    values = rank_values(cost_column(rows, cost), cost)
    errors = PairedErrors(rows, cost)
    equal = rows[values - values[0] <= errors.of(0)] if errors else rows.head(1)
    if len(equal) > 1:
        equal = equal.sort_values("energy_total_pj", kind="stable")
        start = f"Best {column}: {len(equal)} points are equal within their error; of least energy"
    else:
        start = f"Best {column}"
    first = equal.iloc[0]
    mark = " (negative: counts as 0)" if column in MEASURED_COLUMNS and first[column] < 0 else ""
    return f"{start}: {first[column]:.6g}{mark} at {_label(first.to_dict(), names)}."


def _label(row: Mapping[Any, Any], names: Sequence[str]) -> str:
    """Values that identify a point; numbers with the name of their column."""
    words = [_amount(name, row[name]) for name in names]
    return ", ".join(words) or str(row["arch"])


def _amount(name: str, value: Any) -> str:
    if isinstance(value, str) or name in ("tokens", "batch", "context"):
        return f"{value} {name}" if not isinstance(value, str) else value
    if name.endswith("capacity") and value % 1024 == 0:
        return f"{name.removesuffix('_capacity').replace('_', ' ')} {value // 1024} KiB"
    return f"{name.replace('_', ' ')} {value:g}"


def _scatter(frame: pd.DataFrame, costs: Sequence[str], names: Sequence[str], fallback: Picture) -> Scatter:
    wanted = list(dict.fromkeys([*(cost.removeprefix("-") for cost in costs), *AXES]))
    columns = [name for name in wanted if name in frame and frame[name].nunique() > 1]
    larger = [name in LARGER_IS_BETTER or f"-{name}" in costs for name in columns]
    task = [name for name in names if name in TASK_COLUMNS]
    points = [
        ScatterPoint(
            _label(row, names),
            str(row["arch"]),
            [_finite(row[name]) for name in columns],
            _label(row, task) if task else "",
        )
        for row in frame.to_dict("records")
    ]
    return Scatter(columns, larger, points, (0, min(1, len(columns) - 1)), fallback)


def _finite(value: Any) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None


def _front_figure(frame: pd.DataFrame, costs: Sequence[str]) -> Figure:
    x, y = (cost.removeprefix("-") for cost in (costs[0], costs[-1]))
    with plot_style():
        return pareto_figure(frame, x, y, costs)


def energy_figure(frame: pd.DataFrame) -> Figure:
    """Stacked bars of compute, SRAM and DRAM energy, one a row, the first row on top."""
    from matplotlib.figure import Figure

    names = _varying_inputs(frame)
    labels = [_label(row, names) for row in frame.to_dict("records")]
    with plot_style():
        figure = Figure(figsize=(9.0, 1.2 + 0.32 * len(frame)), layout="constrained")
        axes = figure.subplots()
        places, left = range(len(frame)), [0.0] * len(frame)
        for column, (label, color, hatch) in ENERGY_PARTS.items():
            values = [float(v) * 1e-9 for v in frame[f"energy_{column}"]]
            axes.barh(places, values, 0.7, left, color=color, hatch=hatch, edgecolor=GREY, linewidth=0.6, label=label)
            left = [start + value for start, value in zip(left, values, strict=True)]
        for place, end in zip(places, left, strict=True):
            text = f"{end:,.0f}" if end >= 1000 else f"{end:.4g}"
            axes.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(places, labels, fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel("energy (mJ)")
        figure.legend(loc="outside upper center", ncols=len(ENERGY_PARTS), frameon=False)
        return figure


def _bars_caption(frame: pd.DataFrame) -> str:
    names = [name for name in _varying_inputs(frame) if name in TASK_COLUMNS]
    task = f" ({_label(_bars(frame).iloc[0].to_dict(), names)})" if names else ""
    return f"The front's points and the best of each architecture{task}, {BARS} at most, least energy first."


def _bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the energy figure, for the task of least energy: the front, and the best of each architecture."""
    tasks = task_numbers(frame)
    rows = frame[tasks == tasks[0]]
    return rows[rows["front"] | ~rows["arch"].duplicated()].head(BARS)


def _provenance(command: str, sweep: Path, manifest: dict[str, Any]) -> list[str]:
    return [
        f"command: {command}",
        f"sweep: {sweep}, {json.dumps({k: v for k, v in manifest.items() if v not in (None, [], {}, '')})}",
        "versions: "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + f", Python {platform.python_version()}",
        f"model version (hash of the code and data behind every point): {model_version()}",
        "published constants: Fang et al., HPCA 2025 (arXiv 2411.15982)",
    ]

"""The main job: capture activations, check the circuits, measure perplexity, simulate, and write the report folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...formats.checks import check_integer
from ...formats.named_format import NamedFormat, fixed_formats
from ...formats.plugins import plugin_files
from ...workloads import capture_trace
from ..circuits.circuit_check import check_circuits
from ..folder import filling, require_free
from ..inputs import as_model, as_scored
from ..options.option import command_line
from ..options.parse import several
from ..options.question import question
from ..options.reports import ReportOptions
from ..options.result import FrameResult
from ..parallel.cluster import evaluation_workers
from ..progress import stage, timed
from .answer import Answer
from .evaluation import measure_points, try_formats
from .figures import save_figures
from .layer_timeline import write_timeline
from .machine import machine_points, simulate_points
from .pages import ReportFacts, write_pages
from .plan import MIXED, format_points, plan_points
from .points import points_frame

SPLIT = "heldout"
TRACE = "trace.safetensors"
TRACE_TOKENS = 64
CIRCUIT_WIDTHS = (4, 7, 11)


@dataclass(frozen=True)
class Report(FrameResult):
    """Result of `report`.

    Attributes
    ----------
    frame
        One row for each measured precision, architecture or further format, see `points_frame`.
    answer
        The recommended precision beside the baselines.
    model
        Name of the model.
    folder
        The report folder, with ``report.html`` and ``report.md``.
    """

    answer: Answer
    model: str
    folder: Path

    def to_dict(self) -> list[dict[str, Any]]:
        """The rows of the table as JSON values."""
        return self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")  # pyright: ignore[reportReturnType]


@question(ReportOptions)
def report(options: ReportOptions) -> Report:
    """Measure a real model's loss for many precisions, simulate and check the circuits, and write the report folder.

    The folder has ``report.md``, ``report.html`` (self-contained), ``figures/`` (PNG, SVG, PDF), ``table.csv``,
    ``table.parquet``, ``circuits.csv``, ``timeline.json`` and ``trace.safetensors``. Perplexities are cached block by
    block, so an interrupted run continues.

    Returns
    -------
    Report
        One row for each measured precision, architecture or further format, and the folder.

    Raises
    ------
    InputError
        The model is unknown or not fetched, a format is unknown or fails, there are too few blocks, or `out` is not an
        empty folder.
    """
    start = time.monotonic()
    blocks, folder = check_integer("blocks", options.blocks, 2), Path(options.out)
    require_free(folder)
    formats = fixed_formats(several(options.activations or ()), "activations")
    plan = [*machine_points(blocks), *plan_points(blocks), *format_points(formats, blocks)]
    decoder = as_model(options.model, options)
    with timed("reading and tokenising the text"):
        text = decoder.blocks("wiki", SPLIT, options.tokens, blocks)
    try_formats(decoder, text, plan)
    with filling(folder):
        with stage("capturing activations", 1) as advance:
            trace = capture_trace(decoder, text, tokens=TRACE_TOKENS)
            (folder / TRACE).unlink(missing_ok=True)  # of a run that was killed
            trace.save(folder / TRACE)
            advance(1)
        with stage("running the circuits on the trace", 1) as advance:
            captured = trace.metadata["layers"]
            circuit_layer = captured[len(captured) // 2]
            checks = check_circuits(trace=trace, m=CIRCUIT_WIDTHS, layer=circuit_layer)
            advance(1)
        with evaluation_workers(options.dask, options.model, decoder, options) as workers:
            measured = measure_points(as_scored(decoder, options), text, plan, workers)
        with stage("simulating the accelerators", 1) as advance:
            frame = points_frame(simulate_points(decoder.shape, measured))
            advance(1)
        with stage("writing the report", 1) as advance:
            save_figures(frame, folder / "figures")
            best = {"model": decoder.shape, "arch": "anda", "precision": str(MIXED[0])}
            write_timeline(best, folder / "timeline.json")
            widest = max((found.loss for _, found in measured), key=lambda loss: loss.tokens)
            named = replace(options, activations=[one.text for one in formats] or None)
            asked = command_line("report", named, plugin_files())
            facts = ReportFacts(
                asked, decoder, text, trace, checks, widest, SPLIT, [_format_line(one) for one in formats], start
            )
            write_pages(frame, facts, folder)
            advance(1)
    return Report(frame, Answer.of(frame), decoder.shape.name, folder)


def _format_line(named: NamedFormat) -> str:
    """Line of a further format in the method: its bits, cycles and source."""
    fmt = named.build()
    return (
        f"Format {named.text}: the same in all four modules, on all blocks; stored and computed on the machine of Anda in "
        f"{fmt.bits_per_value:.4g} bits a value and {fmt.cycles_per_group} cycles a group of 64, as the format states. Source: {fmt.source}."
    )

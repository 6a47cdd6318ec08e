"""The main job: capture activations, check the circuits, measure perplexity, simulate, and write the report folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ...formats import InputError
from ...formats.checks import check_integer
from ...workloads import capture_trace, load_blocks, load_decoder
from ..circuits.circuit_check import check_circuits
from ..folder import is_free, make_folder
from ..progress import stage
from .evaluation import measure_points
from .figures import save_figures
from .layer_timeline import write_timeline
from .machine import simulate_points
from .pages import ReportFacts, write_pages
from .plan import BLOCK_TOKENS, BLOCKS, MIXED, plan_points
from .points import points_frame

if TYPE_CHECKING:
    import pandas as pd

SPLIT = "heldout"
TRACE_TOKENS = 64
CIRCUIT_WIDTHS = (4, 7, 11)


def run_report(model: str, out: Path | str, blocks: int = BLOCKS) -> pd.DataFrame:
    """Measure a real model's loss for many precisions, simulate and check the circuits, and write the report folder.

    The folder has ``report.md``, ``report.html`` (self-contained), ``figures/`` (PNG, SVG, PDF), ``table.csv``,
    ``table.parquet``, ``circuits.csv``, ``timeline.json`` and ``trace.safetensors``. Perplexities are cached block by
    block, so an interrupted run continues.

    Parameters
    ----------
    model
        A fetched model, or a checkpoint folder (`load_checkpoint`).
    out
        A new or empty folder.
    blocks
        Blocks of text for the reference and for the widths near a loss of 1 %; time and accuracy grow with it.

    Returns
    -------
    pandas.DataFrame
        One row for each measured precision or architecture, see `points_frame`.

    Raises
    ------
    InputError
        The model is unknown or not fetched, there are too few blocks, or `out` is not an empty folder.
    """
    start = time.monotonic()
    check_integer("blocks", blocks, 2)
    folder = Path(out)
    if not is_free(folder):
        raise InputError(f"out: {folder} is not empty; name another folder")
    plan = list(plan_points(blocks))
    decoder = load_decoder(model)
    text = load_blocks(decoder.tokenizer, "wiki", SPLIT, BLOCK_TOKENS, blocks)
    make_folder(folder)
    with stage("capturing activations", 1) as advance:
        trace = capture_trace(decoder, text, tokens=TRACE_TOKENS)
        trace.save(folder / "trace.safetensors")
        advance(1)
    with stage("running the circuits on the trace", 1) as advance:
        captured = trace.metadata["layers"]
        circuit_layer = captured[len(captured) // 2]
        checks = check_circuits(folder / "trace.safetensors", CIRCUIT_WIDTHS, layer=circuit_layer)
        advance(1)
    measured = measure_points(decoder, text, plan)
    with stage("simulating the accelerators", 1) as advance:
        frame = points_frame(simulate_points(decoder.shape, measured))
        advance(1)
    with stage("writing the report", 1) as advance:
        save_figures(frame, folder / "figures")
        best = {"model": decoder.shape, "arch": "anda", "precision": str(MIXED[0])}
        write_timeline(best, folder / "timeline.json")
        widest = max((point.loss for point in measured), key=lambda loss: loss.tokens)
        facts = ReportFacts(decoder, text, trace, checks, widest, SPLIT, start)
        write_pages(frame, facts, folder)
        advance(1)
    return frame

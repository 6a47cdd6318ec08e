"""Pages of the report: the answers, the tables and figures, the method, and the source of every number."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...sim.config.defaults import DEFAULT_TECHNOLOGY
from ...workloads import Decoder, PairedLoss, TextBlocks, Trace
from ...workloads.evaluation.sequential import ERROR, LEAST_BLOCKS, decide
from ...workloads.evaluation.statistics import Estimate
from ..circuits.circuit_check import CircuitChecks
from ..files import csv_text
from .document import Block, Bullets, Heading, Link, Picture, Scatter, ScatterPoint, TableBlock, to_html, to_markdown
from .machine import TOKENS
from .plan import BLOCK_TOKENS, MIXED
from .provenance import LIMITS, constant_rows, provenance_items
from .table import TABLE_COLUMNS, point_name, table_rows

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.01

TRADEOFF = f"Loss against cycles and energy of a prefill of {TOKENS} tokens, relative to FP-FP."
FRONT_COLUMNS = ("loss_percent", "energy_pj", "cycles", "dram_bytes", "bops_saving")


@dataclass(frozen=True)
class ReportFacts:
    """Inputs and measurements that the pages show in addition to the table."""

    command: str
    decoder: Decoder
    blocks: TextBlocks
    trace: Trace
    checks: CircuitChecks
    widest_loss: PairedLoss
    """Loss of a point with the largest number of blocks."""
    split: str
    formats: Sequence[str]
    """A line on each further format."""
    start: float
    """Value of `time.monotonic()` at the start of the job."""


def write_pages(frame: pd.DataFrame, facts: ReportFacts, folder: Path) -> None:
    """Write tables and pages into the report folder; its figures must exist."""
    (folder / "table.csv").write_text(csv_text(frame), encoding="utf-8")
    frame.to_parquet(folder / "table.parquet", index=False)
    (folder / "circuits.csv").write_text(csv_text(facts.checks.to_frame()), encoding="utf-8")
    blocks = report_blocks(frame, facts)
    (folder / "report.md").write_text(to_markdown(blocks), encoding="utf-8")
    (folder / "report.html").write_text(to_html(blocks, folder), encoding="utf-8")


def report_blocks(frame: pd.DataFrame, facts: ReportFacts) -> list[Block]:
    """Blocks of the whole report."""
    shape = facts.decoder.shape
    return [
        Heading(f"How many mantissa bits does {shape.name} need?", 1),
        Bullets(summary(frame, facts.checks)),
        Picture("loss", "Perplexity loss when all four modules keep M mantissa bits; bars are the 95 % t interval.", "loss against mantissa bits"),
        Picture("sensitivity", "Perplexity loss when one module alone is narrow, the others at 16 bits.", "loss per module"),
        Picture("tradeoff", TRADEOFF, "loss against cost"),
        front_block(frame),
        Picture("energy", f"Energy of a prefill of {TOKENS} tokens, percent of FP-FP.", "energy breakdown"),
        Link(f"Timeline of one layer at {MIXED[0]} (open in Perfetto)", "timeline.json"),
        Heading("All points"),
        table_block(frame),
        Heading("Does the circuit do it?"),
        circuit_block(facts.checks),
        Heading("How it was measured"),
        Bullets(_method(facts)),
        Heading("What is not modelled"),
        Bullets(LIMITS),
        Heading("Constants"),
        TableBlock(("constant", "value", "unit", "source", "uncertainty"), constant_rows(), f"Technology {DEFAULT_TECHNOLOGY}: published values.", 5),
        Heading("Provenance"),
        Bullets(provenance_items(facts.command, facts.decoder, facts.blocks, facts.trace, time.monotonic() - facts.start)),
    ]  # fmt: skip


def summary(frame: pd.DataFrame, checks: CircuitChecks) -> list[str]:
    """Answers of the report, one sentence each."""
    measured = frame[frame["loss_percent"].notna()]
    cheapest_first = measured.sort_values("bops_saving", ascending=False)
    verdicts = [(row, verdict(row)) for row in cheapest_first.to_dict("records")]
    sentences: list[str] = []
    for wanted, text in (("below", "below 1 % loss"), ("undecided", "within reach of 1 % but undecided")):
        row = next((row for row, verdict in verdicts if verdict == wanted and _may_be_within(row)), None)
        if row is not None:
            sentences.append(f"Fewest bit operations {text}: {_precision_text(row)}, {_gains(row)}.")
    for row, decided in verdicts:
        if row["kind"] == "format":
            sentences.append(
                f"{row['label']}, {row['bits_per_value']:.4g} bits a value: {_VERDICTS[decided]}, {_gains(row)}."
            )
    sentences.append(
        f"A verdict is wrong in {100 * ERROR:g} % of cases (Student's t on the differences of blocks); fewer than "
        f"{LEAST_BLOCKS} blocks give none."
    )
    compared = sum(check.compared for check in checks.checks)
    cycles_agree = all(check.cycles == check.predicted_cycles for check in checks.checks)
    sentences.append(
        f"The circuits computed {compared:,} values of the captured trace with {checks.mismatches} mismatches, "
        f"in {'exactly the' if cycles_agree else 'NOT the'} stated cycles."
    )
    return sentences


_VERDICTS = {"below": "below 1 % loss", "above": "above 1 % loss", "undecided": "undecided at 1 % loss"}


def verdict(row: Mapping[Any, Any]) -> str:
    """Compare a loss with the tolerance: ``below``, ``above`` or ``undecided``."""
    decision = decide(_estimate(row), 100 * TOLERANCE)
    return {"within": "below", "beyond": "above", "undecided": "undecided"}[decision]


def _estimate(row: Mapping[Any, Any]) -> Estimate:
    return Estimate(row["loss_percent"], row["standard_error_percent"], int(row["blocks"]))


def _may_be_within(row: Mapping[Any, Any]) -> bool:
    """True if there are blocks enough for a verdict, and the 95 % interval reaches below the tolerance."""
    estimate = _estimate(row)
    return estimate.blocks >= LEAST_BLOCKS and estimate.value - estimate.half_width() <= 100 * TOLERANCE


def _precision_text(row: Mapping[Any, Any]) -> str:
    if row["kind"] == "format":
        return row["label"]
    bits = ",".join(str(row[f"mantissa_bits_{module}"]) for module in ("qkv", "o", "u", "d"))
    return f"[{bits}] mantissa bits for qkv, o, u, d"


def _gains(row: Mapping[Any, Any]) -> str:
    return (
        f"loss {row['loss_percent']:+.2f} ± {_estimate(row).half_width():.2f} % (95 %, {row['blocks']} blocks), {row['bops_saving']:.2f}x fewer bit "
        f"operations, {row['speedup']:.2f}x the speed and {row['energy_saving']:.2f}x less energy than FP-FP, "
        f"at {row['area_ratio']:.2f} of its area"
    )


def front_block(frame: pd.DataFrame) -> Scatter:
    """Interactive plot of every measured point, with selectable axes."""
    points = [
        ScatterPoint(point_name(row), str(row["kind"]), [float(row[column]) for column in FRONT_COLUMNS])
        for row in frame[frame["loss_percent"].notna()].to_dict("records")
    ]
    caption = "The same points with selectable axes. A grey cross marks a point that another point beats on both axes."
    larger = [column == "bops_saving" for column in FRONT_COLUMNS]
    return Scatter(FRONT_COLUMNS, larger, points, (1, 0), Picture("tradeoff", caption, "Pareto plot"), picture=False)


def table_block(frame: pd.DataFrame) -> TableBlock:
    """Table of every point, compared with FP-FP."""
    caption = (
        f"Loss: perplexity against FP16 activations on the same tokens, blocks of {BLOCK_TOKENS} tokens, with the 95 % t interval of "
        f"the paired difference. KL: mean divergence from the FP16 model. Top-1: share of changed most likely tokens. Tempered: "
        f"loss when both models have their own fitted temperature. Bits: of a stored activation. "
        f"Cycles, energy and area: prefill of {TOKENS} tokens at level analytical, FP-INT GeMMs; speedup, energy saving and area "
        f"are relative to FP-FP."
    )
    return TableBlock(TABLE_COLUMNS, table_rows(frame), caption)


def circuit_block(checks: CircuitChecks) -> TableBlock:
    """Table of the circuit checks: mismatches with the format, and cycles."""
    columns = ("circuit", "module", "M", "values compared", "mismatches", "cycles", "stated cycles")
    rows = [
        (c.circuit, c.module, str(c.m), str(c.compared), str(c.mismatches), str(c.cycles), str(c.predicted_cycles))
        for c in checks.checks
    ]
    caption = "Amaranth's simulator on a slice of the captured trace: one token, one output channel of each module."
    return TableBlock(columns, rows, caption, 2)


def _method(facts: ReportFacts) -> list[str]:
    return [
        f"Text: the {facts.split} articles of the Wikipedia excerpt, {len(facts.blocks.tokens)} blocks of {facts.blocks.tokens.shape[1]} tokens spread "
        "evenly; a point that takes fewer blocks takes evenly spaced ones of these.",
        f"Reference: the same 4-bit weights with FP16 activations, perplexity "
        f"{facts.widest_loss.reference_perplexity:.2f} on {facts.widest_loss.tokens:,} tokens.",
        "Loss: exp(mean difference of the negative log-likelihood) - 1, signed, its interval from the spread over "
        "blocks. It is not monotone in M: truncation shrinks activations, and a small shrinkage helps this model.",
        "Activations: rounded to FP16, then encoded and decoded in the Anda format (groups of 64, truncation); products "
        "in float32. Attention internals, norms and the head stay in float32.",
        *facts.formats,
        "Machine: output-stationary 16 x 16 array at 285 MHz, mapping by search for least energy, level analytical, which "
        "equals level events if the memory is infinitely fast.",
    ]

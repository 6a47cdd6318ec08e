"""Pages of the report: the answers, the tables and figures, the method, and the source of every number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...sim.config.defaults import DEFAULT_TECHNOLOGY
from ...workloads import LanguageModel, PairedLoss, TextBlocks, Trace
from ..circuits.circuit_check import CircuitChecks
from ..files import csv_text
from .answer import VERDICTS, Answer, gains, short_name, verdict
from .document import Block, Bullets, Heading, Link, Picture, Scatter, ScatterPoint, TableBlock, to_html, to_markdown
from .machine import TOKENS
from .plan import MIXED
from .provenance import LIMITS, constant_rows, provenance_items
from .table import TABLE_COLUMNS, table_rows

if TYPE_CHECKING:
    import pandas as pd

TRADEOFF = f"Loss against cycles and energy of a prefill of {TOKENS} tokens, relative to FP-FP."
FRONT_COLUMNS = ("loss_percent", "energy_pj", "cycles", "dram_bytes", "bops_saving")


@dataclass(frozen=True)
class ReportFacts:
    """Inputs and measurements that the pages show in addition to the table."""

    command: str
    decoder: LanguageModel
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
        table_block(frame, facts.blocks.tokens.shape[1]),
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
    sentences = Answer.of(frame).sentences()
    for row in frame[frame["kind"] == "format"].to_dict("records"):
        sentences.append(
            f"{row['label']}, {row['bits_per_value']:.4g} bits a value: {VERDICTS[verdict(row)]}, {gains(row)}."
        )
    compared = sum(check.compared for check in checks.checks)
    cycles_agree = all(check.cycles == check.predicted_cycles for check in checks.checks)
    sentences.append(
        f"The circuits computed {compared:,} values of the captured trace with {checks.mismatches} mismatches, "
        f"in {'exactly the' if cycles_agree else 'NOT the'} stated cycles."
    )
    return sentences


def front_block(frame: pd.DataFrame) -> Scatter:
    """Interactive plot of every measured point, with selectable axes."""
    points = [
        ScatterPoint(short_name(row), str(row["kind"]), [float(row[column]) for column in FRONT_COLUMNS])
        for row in frame[frame["loss_percent"].notna()].to_dict("records")
    ]
    caption = "The same points with selectable axes. A grey cross marks a point that another point beats on both axes."
    larger = [column == "bops_saving" for column in FRONT_COLUMNS]
    return Scatter(FRONT_COLUMNS, larger, points, (1, 0), Picture("tradeoff", caption, "Pareto plot"), picture=False)


def table_block(frame: pd.DataFrame, tokens: int) -> TableBlock:
    """Table of every point, compared with FP-FP; losses on blocks of so many tokens."""
    caption = (
        f"Loss: perplexity against FP16 activations on the same tokens, blocks of {tokens} tokens, with the 95 % t interval of "
        f"the paired difference. An architecture of fixed width has the loss of its own arithmetic: that of FIGNA with M bits is Anda's at M, "
        f"value by value; FP-FP and FP-INT are the reference. KL: mean divergence from the FP16 model. Top-1: share of changed most likely tokens. Tempered: "
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

"""Tables of docs/calibration.md about mappings: what a search finds, and whether Anda's advantage survives it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...sim import simulate
from ...sim.mapping.gemm_mapping import PartialSums
from ...workloads import Gemm, Precision
from .figures.measures import ONE_TILE, system_mean
from .figures.published import DATASET, PrecisionSets, published

GEMMS = ("2048x4096x4096", "64x28672x8192", "2048x11008x4096")
SEARCHES: tuple[dict[str, str], ...] = (
    {"mapping": "double-buffered"},
    {"mapping": "best"},
    {"mapping": "best", "partial_sums": "buffer"},
    {"mapping": "best", "partial_sums": "buffer", "objective": "dram"},
)
"""Searches of the table of GeMMs."""
RULES: tuple[tuple[str, PartialSums], ...] = (
    (ONE_TILE, "array"),
    ("double-buffered", "array"),
    ("best", "array"),
    ("best", "buffer"),
)
"""Mappings and places of partial sums of the table of designs."""

GEMM_HEADER = "GeMM on FP-FP,double-buffered,best,best with sums in a buffer,least DRAM with sums in a buffer"
DESIGN_HEADER = (
    "design,published,one tile per model,double-buffered,best,best with sums in a buffer,DRAM: one tile,double-buffered,best,"
    "with sums in a buffer"
)


def gemm_energies() -> Iterator[Sequence[str]]:
    """DRAM energy and, in brackets, all energy of single GeMMs on FP-FP in uJ, and the mapping."""
    for text in GEMMS:
        cells: list[str] = []
        for search in SEARCHES:
            run = simulate([Gemm.parse(text)], "fp-fp", Precision.uniform(16), idle="full", **search)  # pyright: ignore
            energy = run.energy_pj
            cells.append(f"{energy.dram / 1e6:,.0f} ({energy.total / 1e6:,.0f}) {run.runs[0].mapping}")
        yield (text, *cells)


def design_gains() -> Iterator[Sequence[str]]:
    """Energy efficiency of each design over FP-FP, and FP-FP's DRAM traffic over the design's, each with its best mapping.

    Geometric means over the nine models of Fig. 16 at the published precision tuples.
    """
    figure = published()["fig16_geomean_over_9_models_wikitext2"]
    for label, bar in zip(figure["designs"], figure["energy_efficiency"], strict=True):
        tuples = PrecisionSets().sets[DATASET][label.partition(" ")[2] or "1%"]
        means = [
            system_mean(label, tuples, quantity, mapping=mapping, partial_sums=place)
            for quantity in ("energy_efficiency", "dram_saving")
            for mapping, place in RULES
        ]
        yield (label, *(f"{value:.2f}" for value in (bar, *means)))

"""Options of `sweep` and of its points, and of `results`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from .option import Option
from .simulation import SimulationOptions

if TYPE_CHECKING:
    from pathlib import Path

    from ...formats.documents.schema import Config
    from ...formats.named_format import NamedFormat


@dataclass(frozen=True, kw_only=True)
class PointOptions(SimulationOptions):
    """A point of a sweep: a simulation, and the number format whose perplexity is measured beside it."""

    format: Annotated[
        "str | NamedFormat",
        Option(
            "Activation format whose perplexity is measured: fast mantissa_bits=2, or one of a plugin; own is what the "
            "architecture computes with. Time and energy stay those of the architecture."
        ),
    ] = "own"
    rounding: Annotated[
        str, Option("Rounding of the Anda encoder, where perplexity is measured: truncate or nearest.")
    ] = "truncate"
    reconstruct: Annotated[
        str, Option("Reconstruction of the Anda decoder, where perplexity is measured: truncate or midpoint.")
    ] = "truncate"
    zero_planes: Annotated[
        str,
        Option("sent, or skipped: an all-zero plane costs no cycle, as counted on the model of `evaluation`."),
    ] = "sent"


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Options of `sweep`."""

    file: Annotated[
        "str | Path | Config",
        Option("The sweep: a YAML file, or the name of a built-in question.", metavar="FILE", argument=True),
    ]
    out: Annotated["str | Path", Option("A new folder, or the sweep's own to go on.", metavar="DIR")]
    workers: Annotated[int, Option("Processes that simulate.", unit="processes")] = 1
    dask: Annotated[str | None, Option("A Dask scheduler instead of processes.", metavar="ADDRESS")] = None


def _names(_: str, text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


@dataclass(frozen=True, kw_only=True)
class ResultsOptions:
    """Options of `results`."""

    folder: Annotated["str | Path", Option("The folder of a sweep.", metavar="DIR", argument=True)]
    sql: Annotated[str | None, Option("SQL over the table `results` (DuckDB).", metavar="QUERY")] = None
    pareto: Annotated[
        Sequence[str] | None,
        Option("Only rows that none beats; -NAME means larger is better.", metavar="X,Y,…", parse=_names),
    ] = None
    wins: Annotated[
        str | None, Option("How often ARCH has the least, at the same constants.", metavar="ARCH:COLUMN")
    ] = None
    pairs: Annotated[
        str | None,
        Option("Losses compared in pairs on the same blocks: all pairs, or each with a design.", metavar="all|DESIGN"),
    ] = None
    plot: Annotated[
        "str | Path | None",
        Option("Draw the front, dominated points in grey (.png, .svg, .pdf).", metavar="FILE"),
    ] = None
    circuits: Annotated[
        str | None, Option("Add area and energy of the format options' own circuits.", metavar="LIBRARY")
    ] = None

"""Synthesis jobs: one circuit or all, at one clock or several, with allowances for what synthesis does not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats import InputError
from .folder import is_free, make_folder
from .progress import stage


@dataclass(frozen=True)
class Job:
    """What `run_jobs` does; every field as the option of `anda rtl synth` that is called like it."""

    design: str | None
    """None: every circuit."""
    parameters: Mapping[str, Any]
    liberty: Sequence[Path]
    clocks_ps: Sequence[float]
    mantissa_bits: Sequence[int]
    trace: Path | None
    allowances: Sequence[str]
    out: Path | None


def run_jobs(job: Job, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """The documents of all circuits at all clocks; those that were made before come from the cache.

    Args:
        job: what to do.
        note: told of each clock that a circuit does not keep, and of circuits that are not measured.

    Raises:
        InputError: as of `rtl.synthesis.synthesize`; an allowance is unknown; the folder is not free.
    """
    from ..rtl.synthesis import all_designs, find_library, load_operands, synthesize, with_allowances

    if job.out is not None and not is_free(job.out):
        raise InputError(f"out: {job.out} is not empty; name another folder")
    if job.design is None and job.parameters:
        raise InputError("parameter: goes with one circuit; leave it out with --all")
    library = find_library(job.liberty)
    operands = load_operands(job.trace)
    designs = all_designs() if job.design is None else [(job.design, dict(job.parameters))]
    documents: list[dict[str, Any]] = []
    with stage(f"synthesis in {library.name}", len(designs) * len(job.clocks_ps)) as advance:
        for design, parameters in designs:
            for clock in job.clocks_ps:
                document = synthesize(design, parameters, library, clock, operands, job.mantissa_bits)
                documents.append(with_allowances(document, job.allowances))
                _note_clock(document, note)
                advance(1)
    return documents


def _note_clock(document: Mapping[str, Any], note: Callable[[str], None]) -> None:
    if not document["clock_met"]:
        note(
            f"clock-ps: {document['design']} needs {document['critical_ps']:.0f} ps in {document['library']['name']}, not "
            f"{document['clock_ps']:g}; its powers are at that period"
        )


def write_documents(documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the documents as YAML, and their runs as Parquet.

    Raises:
        InputError: the folder cannot be made.
    """
    from ..rtl.synthesis import write_report

    make_folder(folder)
    return write_report(documents, folder)

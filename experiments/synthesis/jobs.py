"""Synthesis jobs: one circuit or all, at one clock or several, with allowances for wires and glitches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ...formats import InputError
from ...formats.checks import check_integer
from ..folder import is_free, make_folder
from ..progress import stage


@dataclass(frozen=True)
class Job:
    """Circuits to synthesise, and how; see `run_jobs`."""

    design: str | None
    """Name of the circuit; None synthesises every circuit."""
    parameters: Mapping[str, Any]
    """Parameters of the one circuit."""
    liberty: Sequence[Path]
    """Liberty files, or a folder of them; the bundled OSU 0.18 um library if empty."""
    clocks_ps: Sequence[float]
    """Clock periods to aim at, in ps."""
    mantissa_bits: Sequence[int]
    """Mantissa widths to run."""
    trace: Path | None
    """Captured trace; None takes the built-in model's operands."""
    allowances: Sequence[str]
    """Published allowances to add, such as those for wires and glitches."""
    out: Path | None
    """Folder for YAML and Parquet files."""
    slower: bool = False
    """Accept a circuit that misses the clock; its powers are at the period that it needs."""
    workers: int = 1
    """Number of processes."""
    saif: Path | None = None
    """New file for the switching activity of the one run."""
    netlist: Path | None = None
    """New file for the gate netlist of the one circuit."""


def run_jobs(job: Job, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Synthesise all circuits at all clocks: one document each. Finished ones are read from the cache.

    Parameters
    ----------
    job
        Circuits, clocks and files.
    note
        Called with a message for each circuit that misses its clock and for each file that was written.

    Raises
    ------
    InputError
        `rtl.synthesis.synthesize` refuses a circuit; an allowance is unknown; a folder or file exists; or a single
        circuit misses its single clock and `slower` is False.
    """
    from ...rtl.synthesis import all_designs, with_allowances

    _check(job)
    designs = all_designs() if job.design is None else [(job.design, dict(job.parameters))]
    tasks = [(design, parameters, clock) for design, parameters in designs for clock in job.clocks_ps]
    documents: list[dict[str, Any]] = []
    worker = _Worker(job)
    for document in _measured(job, tasks, worker):
        if not document["clock_met"]:
            _not_met(document, job, alone=len(tasks) == 1, note=note)
        documents.append(with_allowances(document, job.allowances))
    if job.saif is not None or job.netlist is not None:
        worker.write_gate_files(note)
    return documents


def _check(job: Job) -> None:
    """Refuse a wrong job before any work."""
    if job.out is not None and not is_free(job.out):
        raise InputError(f"out: {job.out} is not empty; name another folder")
    if job.design is None and job.parameters:
        raise InputError("parameter: it applies to a single circuit; remove it or remove --all")
    check_integer("workers", job.workers, 1)
    for field, path in (("saif", job.saif), ("netlist", job.netlist)):
        if path is not None and (job.design is None or len(job.clocks_ps) > 1):
            raise InputError(f"{field}: it needs a single circuit and a single clock; name one of each")


Task = tuple[str, dict[str, Any], float]
"""Name of a circuit, its parameters, and a clock period in ps."""


class _Worker:
    """Cell library and operands that all tasks of a process share."""

    def __init__(self, job: Job) -> None:
        from ...rtl.synthesis import find_library, load_operands

        self._job = job
        self.library, self._operands = find_library(job.liberty), load_operands(job.trace)

    def document(self, task: Task) -> dict[str, Any]:
        """Document of one circuit at one clock."""
        from ...rtl.synthesis import synthesize

        design, parameters, clock = task
        return synthesize(design, parameters, self.library, clock, self._operands, self._job.mantissa_bits)

    def write_gate_files(self, note: Callable[[str], None]) -> None:
        """Write the netlist and the switching activity of the one run."""
        from ...rtl.synthesis import gate_files

        job = self._job
        assert job.design is not None
        files = gate_files(
            job.design, job.parameters, self.library, job.clocks_ps[0], self._operands, job.mantissa_bits
        )
        for field, path, text in (("saif", job.saif, files.saif), ("netlist", job.netlist, files.verilog)):
            if path is not None:
                try:
                    path.write_text(text, "utf-8")
                except OSError as error:
                    message = f"{field}: {path} cannot be written ({error.strerror}); name another file"
                    raise InputError(message) from None
                note(f"wrote {path}")


def _measured(job: Job, tasks: Sequence[Task], worker: _Worker) -> Iterator[dict[str, Any]]:
    """Documents of the tasks, in order; several workers compute in processes of their own."""
    with stage(f"synthesis in {worker.library.name}", len(tasks)) as advance:
        if job.workers == 1:
            for task in tasks:
                yield worker.document(task)
                advance(1)
            return
        context = get_context("spawn")
        with ProcessPoolExecutor(job.workers, context, initializer=_start, initargs=(job,)) as pool:
            for document in pool.map(_document, tasks):
                yield document
                advance(1)


_workers: list[_Worker] = []


def _start(job: Job) -> None:
    _workers.append(_Worker(job))


def _document(task: Task) -> dict[str, Any]:
    return _workers[0].document(task)


def _not_met(document: Mapping[str, Any], job: Job, *, alone: bool, note: Callable[[str], None]) -> None:
    """Report a missed clock: an error for a single circuit and clock unless `slower` is set, otherwise a note."""
    missed = (
        f"clock-ps: {document['design']} needs {document['critical_ps']:.0f} ps in {document['library']['name']}, not "
        f"{document['clock_ps']:g}; "
    )
    if alone and not job.slower:
        raise InputError(missed + "use a longer clock, more stages, or --slower for figures at that period")
    note(missed + "its powers are at that period")


def write_documents(documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the documents as YAML and their runs as Parquet; return the paths.

    Raises
    ------
    InputError
        The folder cannot be created.
    """
    from ...rtl.synthesis import write_report

    make_folder(folder)
    return write_report(documents, folder)

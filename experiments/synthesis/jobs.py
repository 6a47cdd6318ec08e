"""Synthesis jobs: one circuit or all, at one clock or several, with allowances for what synthesis does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ...formats import InputError
from ..folder import is_free, make_folder
from ..progress import stage


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
    slower: bool = False
    workers: int = 1
    saif: Path | None = None
    netlist: Path | None = None


def run_jobs(job: Job, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """The documents of all circuits at all clocks; those that were made before come from the cache.

    Args:
        job: what to do.
        note: told of each clock that a circuit does not keep, and of files that were written.

    Raises:
        InputError: as of `rtl.synthesis.synthesize`; an allowance is unknown; a folder or file is not free; the one
            circuit does not keep the one clock, and `slower` is not asked for.
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
    """Refuse what cannot be done before anything is."""
    if job.out is not None and not is_free(job.out):
        raise InputError(f"out: {job.out} is not empty; name another folder")
    if job.design is None and job.parameters:
        raise InputError("parameter: goes with one circuit; leave it out with --all")
    if job.workers < 1:
        raise InputError(f"workers: is {job.workers}; give at least 1")
    for field, path in (("saif", job.saif), ("netlist", job.netlist)):
        if path is not None and (job.design is None or len(job.clocks_ps) > 1):
            raise InputError(f"{field}: is of one circuit at one clock; name both")


Task = tuple[str, dict[str, Any], float]
"""A circuit, its parameters, and a clock."""


class _Worker:
    """Library and operands, which all tasks of a process share."""

    def __init__(self, job: Job) -> None:
        from ...rtl.synthesis import find_library, load_operands

        self._job = job
        self.library, self._operands = find_library(job.liberty), load_operands(job.trace)

    def document(self, task: Task) -> dict[str, Any]:
        """A circuit at a clock."""
        from ...rtl.synthesis import synthesize

        design, parameters, clock = task
        return synthesize(design, parameters, self.library, clock, self._operands, self._job.mantissa_bits)

    def write_gate_files(self, note: Callable[[str], None]) -> None:
        """Write the netlist and the activity of the one run."""
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
    """The documents of the tasks, in their order; made by processes of their own if there are several workers."""
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
    """A clock that is not kept: a note where several are tried or it is allowed, or else an error."""
    what = (
        f"clock-ps: {document['design']} needs {document['critical_ps']:.0f} ps in {document['library']['name']}, not "
        f"{document['clock_ps']:g}; "
    )
    if alone and not job.slower:
        raise InputError(what + "give a longer one, more stages, or --slower for its figures at that period")
    note(what + "its powers are at that period")


def write_documents(documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the documents as YAML, and their runs as Parquet.

    Raises:
        InputError: the folder cannot be made.
    """
    from ...rtl.synthesis import write_report

    make_folder(folder)
    return write_report(documents, folder)

"""Synthesis jobs: one circuit or all, at one clock or several, with allowances for wires."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.checks import check_integer, check_number
from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ..files import require_new_file, write_new_file
from ..folder import filling, require_free
from ..options.circuits import SynthesisOptions
from ..options.parse import several
from ..options.question import question
from ..options.result import Result
from ..progress import stage
from ..workers import workers
from .own_element import block_text, is_own, synthesize_element

if TYPE_CHECKING:
    from ...rtl.synthesis import Operands


@dataclass(frozen=True)
class SynthesisResults(Result):
    """Result of `synthesize`.

    Attributes
    ----------
    documents
        One document for each circuit and clock: cells, area, timing, and the energy of each run.
    files
        Files that were written into the folder `out`.
    """

    documents: list[dict[str, Any]]
    files: tuple[Path, ...] = ()

    @property
    def processing_element(self) -> dict[str, Any] | None:
        """The block of an architecture file, of an element of the user's own."""
        return self.documents[0].get("processing_element")

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda rtl synth --json -`` prints."""
        return self.documents

    def records(self) -> list[dict[str, Any]]:
        """One record for each run, with the plain fields of its circuit and clock."""
        return [
            {name: value for name, value in document.items() if not isinstance(value, list | dict)} | run
            for document in self.documents
            for run in document["runs"]
        ]


@question(SynthesisOptions)
def synthesize(options: SynthesisOptions) -> SynthesisResults:
    """Map circuits to gates; give area, timing and energy on captured activations.

    The gate netlist is simulated first and must agree with the circuit and the number format bit for bit. Energies
    include glitches; wires and clock tree are not included. Finished circuits are read from the cache.

    Returns
    -------
    SynthesisResults
        One row for each run of a circuit at a clock.

    Raises
    ------
    InputError
        A circuit, parameter or allowance is unknown; a file exists; or a single circuit misses the single clock that
        `clock_ps` names and `slower` is False.
    """
    from ...rtl.synthesis import all_designs, with_allowances, write_report

    job = _checked(options)
    note = options.on_note or (lambda _: None)
    designs = all_designs() if job.all_designs else [(job.design, dict(job.parameter or {}))]
    tasks = [(design, parameters, clock) for design, parameters in designs for clock in _clocks(job)]
    documents: list[dict[str, Any]] = []
    worker = _Worker(job)
    for document in _measured(job, tasks, worker):
        if not document["clock_met"]:
            _not_met(document, job, alone=len(tasks) == 1, note=note)
        documents.append(with_allowances(document, several(job.allowance)))
    if names := sorted({name for document in documents for name in document["not_read"]}):
        note(f"liberty: the cells used have groups that are not read: {', '.join(names)}")
    if job.saif is not None or job.netlist is not None:
        worker.write_gate_files(note)
    if job.out is None:
        return SynthesisResults(documents)
    if is_own(job.design):
        write_new_file("out", job.out, block_text(documents[0]).rstrip("\n"))
        note(f"wrote {job.out}; an architecture takes it as processing_element: {job.out}")
        return SynthesisResults(documents, (Path(job.out),))
    folder = Path(job.out)
    with filling(folder):
        files = tuple(write_report(documents, folder))
    for path in files:
        note(f"wrote {path}")
    return SynthesisResults(documents, files)


DEFAULT_CLOCK_PS = 3508.0
"""285 MHz, the clock of the Anda paper (arXiv 2411.15982, section V-A), in ps."""


def _clocks(options: SynthesisOptions) -> list[float]:
    """Clock periods to aim at, in ps."""
    return [DEFAULT_CLOCK_PS] if options.clock_ps is None else [float(clock) for clock in several(options.clock_ps)]


def _checked(options: SynthesisOptions) -> SynthesisOptions:
    """Refuse wrong options before any work; without the callback, so that processes can take the options."""
    for clock in _clocks(options):
        check_number("clock_ps", clock, 1, 1e7)
    for width in several(options.m):
        check_integer("m", width, 1, MAX_MANTISSA_BITS)
    check_integer("workers", options.workers, 1)
    if is_own(options.design):
        _check_own(options)
    elif options.out is not None:
        require_free(Path(options.out))
    if options.all_designs and options.parameter:
        raise InputError("parameter: it applies to a single circuit; leave it out, or name one circuit")
    for field in ("saif", "netlist"):
        path = getattr(options, field)
        require_new_file(field, path)
        if path is not None and (options.all_designs or len(_clocks(options)) > 1):
            raise InputError(f"{field}: it needs a single circuit and a single clock; name one of each")
    return replace(options, on_note=None)


def _check_own(options: SynthesisOptions) -> None:
    """Refuse what an element of the user's own does not take."""
    if options.all_designs or options.saif is not None or options.netlist is not None:
        raise InputError(
            f"design: all, saif and netlist are of built-in circuits; leave them out with {options.design}"
        )
    if len(_clocks(options)) > 1:
        raise InputError("clock_ps: an element of your own takes one; name one clock")
    if options.out is not None:
        require_new_file("out", options.out)
        if Path(options.out).suffix not in (".yaml", ".yml"):
            raise InputError(
                f"out: {options.out} is no YAML file; an element of your own is written as one, such as my_pe.yaml"
            )


Task = tuple[str, dict[str, Any], float]
"""Name of a circuit, its parameters, and a clock period in ps."""


class _Worker:
    """Cell library and operands that all tasks of a process share."""

    def __init__(self, job: SynthesisOptions) -> None:
        from ...rtl.synthesis import find_library, load_operands

        self._job = job
        self.library = find_library([Path(path) for path in several(job.liberty or [])])
        self._trace = None if job.trace is None else Path(job.trace)
        self._operands = load_operands(self._trace)
        self._mantissa_bits = several(job.m)

    def document(self, task: Task) -> dict[str, Any]:
        """Record of one circuit at one clock."""
        from ...rtl.synthesis import synthesize

        design, parameters, clock = task
        if is_own(design):
            return synthesize_element(design, parameters, self.library, clock, self._operands_of, self._mantissa_bits)
        return synthesize(design, parameters, self.library, clock, self._operands, self._mantissa_bits)

    def _operands_of(self, lanes: int) -> Operands:
        from ...rtl.synthesis import load_operands

        return self._operands if self._operands.lanes == lanes else load_operands(self._trace, lanes)

    def write_gate_files(self, note: Callable[[str], None]) -> None:
        """Write the netlist and the switching activity of the one run."""
        from ...rtl.synthesis import gate_files

        job = self._job
        (clock,) = _clocks(job)
        parameters = job.parameter or {}
        files = gate_files(
            job.design,
            parameters,
            self.library,
            clock,
            self._operands,
            self._mantissa_bits,
            job.run,
            activity=job.saif is not None,
        )
        for field, path, text in (("saif", job.saif, files.saif), ("netlist", job.netlist, files.verilog)):
            if path is not None:
                write_new_file(field, path, text.rstrip("\n"))
                note(f"wrote {path}")


def _measured(job: SynthesisOptions, tasks: Sequence[Task], worker: _Worker) -> Iterator[dict[str, Any]]:
    """Documents of the tasks, in order; several workers compute in processes of their own."""
    with stage(f"synthesis in {worker.library.name}", len(tasks)) as advance:
        if job.workers == 1:
            for task in tasks:
                yield worker.document(task)
                advance(1)
            return
        with workers(job.workers, _start, job) as processes:
            for done in processes.submit(_document, tasks):
                yield done.result()
                advance(1)


_workers: list[_Worker] = []


def _start(job: SynthesisOptions) -> None:
    _workers.append(_Worker(job))


def _document(task: Task) -> dict[str, Any]:
    return _workers[0].document(task)


def _not_met(document: Mapping[str, Any], job: SynthesisOptions, *, alone: bool, note: Callable[[str], None]) -> None:
    """Report a missed clock: an error for a single circuit and a clock that is asked for, unless `slower`; else a note."""
    missed = (
        f"clock_ps: {document['design']} needs {document['critical_ps']:.0f} ps in {document['library']['name']}, not "
        f"{document['clock_ps']:g}; "
    )
    if alone and not job.slower and job.clock_ps is not None:
        raise InputError(missed + "use a longer clock, more stages, or slower for figures at that period")
    note(missed + "its powers are at that period")

"""Results of synthesis that come with the package: one row for each circuit and run in each library.

``scripts/synthesis_results.py`` writes the tables, and their libraries, tools and operands into ``provenance.yaml``.
``clocks/`` has some circuits mapped for several clock periods, ``idle/`` the energy of elements whose operands are held,
``glitches/`` energies by model of delay. Energies include glitches in tables with a column for those without delays.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ....formats import InputError
from ....formats.checks import check_choice
from ....formats.documents.yaml_file import read_yaml

FOLDER = Path(__file__).parent

R = TypeVar("R", "SynthesisResult", "IdleResult", "GlitchResult")


@dataclass(frozen=True)
class SynthesisResult:
    """Result of one run of a circuit in a library.

    Attributes
    ----------
    design, parameters, run : `str`, mapping, `str`
        Circuit, its parameters, and the name of the run, such as ``M=7`` or ``trace``.
    area_um2, flip_flop_area_um2 : `float`
        Area of all cells, and of the flip-flops.
    cells : `int`
        Number of cells.
    critical_ps, period_ps : `float`
        Shortest clock period of the netlist, and the period of the stated energies.
    clock_met : `bool`
        The netlist meets the target clock.
    effort : `str`
        Effort of the mapping.
    dynamic_pj_per_cycle, leakage_mw : `float`
        Dynamic energy of a mean cycle, and leakage power.
    energy_pj_per_cycle, energy_pj_per_operation : `float`
        Energy with leakage, at `period_ps`.
    operation, operations, cycles : `str`, `int`, `int`
        Kind and number of useful operations, and clock cycles of the run.
    """

    design: str
    parameters: Mapping[str, Any]
    run: str
    area_um2: float
    flip_flop_area_um2: float
    cells: int
    critical_ps: float
    period_ps: float
    clock_met: bool
    effort: str
    dynamic_pj_per_cycle: float
    leakage_mw: float
    energy_pj_per_cycle: float
    energy_pj_per_operation: float
    operation: str
    operations: int
    cycles: int
    zero_delay_pj_per_operation: float | None = None
    """Energy with leakage as if cells had no delay; None in a table without glitches, for which the others are that."""

    @property
    def operations_per_cycle(self) -> float:
        """Useful operations per clock cycle."""
        return self.operations / self.cycles


@dataclass(frozen=True)
class IdleResult:
    """Energy of a circuit that is offered no operands: those of its last run stay at its inputs.

    Attributes
    ----------
    design, parameters : `str`, mapping
        Circuit and its parameters.
    area_um2 : `float`
        Area of all cells; that of `SynthesisResult` if the netlist is the same.
    working_pj_per_cycle : `float`
        Dynamic energy of a mean cycle of the run before.
    clock_pj_per_cycle : `float`
        Energy of the flip-flops' clock pins in a cycle.
    idle_pj_per_cycle : `float`
        Dynamic energy of a cycle with held operands: clock pins, and what still toggles.
    leakage_mw : `float`
        Leakage power; all that is left if the clock is gated, too.
    """

    design: str
    parameters: Mapping[str, Any]
    area_um2: float
    working_pj_per_cycle: float
    clock_pj_per_cycle: float
    idle_pj_per_cycle: float
    leakage_mw: float


@dataclass(frozen=True)
class GlitchResult:
    """Energies of an element in one run by model of delay, in pJ an operation; see `DelayModelRun`."""

    design: str
    parameters: Mapping[str, Any]
    run: str
    zero_delay_pj: float
    inertial_pj: float
    faster_pj: float
    slower_pj: float
    varied_pj: float
    transport_pj: float
    zero_delay_toggles: float
    inertial_toggles: float


def library_names() -> list[str]:
    """Names of the libraries that have results."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


@cache
def load_results(library: str) -> tuple[SynthesisResult, ...]:
    """Results in a library.

    Raises
    ------
    InputError
        The library has no results.
    """
    check_choice("library", library, library_names())
    return _read(FOLDER / f"{library}.csv")


@cache
def load_clock_targets(library: str) -> tuple[SynthesisResult, ...]:
    """Results of elements that were mapped for several clock periods; empty if there are none."""
    path = FOLDER / "clocks" / f"{library}.csv"
    return _read(path) if path.exists() else ()


def _read(path: Path) -> tuple[SynthesisResult, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_result(row, SynthesisResult) for row in csv.DictReader(file))


@cache
def load_idle(library: str) -> tuple[IdleResult, ...]:
    """Idle energies of the elements in a library; empty if there are none."""
    path = FOLDER / "idle" / f"{library}.csv"
    if not path.exists():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_result(row, IdleResult) for row in csv.DictReader(file))


@cache
def load_glitches(library: str) -> tuple[GlitchResult, ...]:
    """Energies of elements by model of delay; empty if there are none."""
    path = FOLDER / "glitches" / f"{library}.csv"
    if not path.exists():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_result(row, GlitchResult) for row in csv.DictReader(file))


def find_idle(library: str, design: str, **parameters: Any) -> IdleResult:
    """Idle energy of a circuit with these parameters.

    Raises
    ------
    InputError
        It was not measured.
    """
    for result in load_idle(library):
        if (result.design, dict(result.parameters)) == (design, parameters):
            return result
    raise InputError(
        f"results: {library} has no idle {design} {parameters}; measure it with scripts/synthesis_results.py --idle"
    )


def find_result(library: str, design: str, run: str, **parameters: Any) -> SynthesisResult:
    """Result of one run of a circuit with these parameters.

    Raises
    ------
    InputError
        The results do not have this run.
    """
    for result in load_results(library):
        if (result.design, result.run, dict(result.parameters)) == (design, run, parameters):
            return result
    raise InputError(f"results: {library} has no {run} of {design} {parameters}; measure it with anda rtl synth")


@cache
def provenance() -> dict[str, Any]:
    """Libraries, tools and operands of the results."""
    return read_yaml(FOLDER / "provenance.yaml", "provenance")


_READERS = {
    "int": int,
    "float": float,
    "float | None": float,
    "str": str,
    "bool": lambda text: text == "True",
}


def _result(row: Mapping[str, str], kind: type[R]) -> R:
    values: dict[str, Any] = {"parameters": json.loads(row["parameters"])}
    for field in fields(kind):
        if field.name != "parameters" and field.name in row:
            type_name = field.type if isinstance(field.type, str) else field.type.__name__
            values[field.name] = _READERS[type_name](row[field.name])
    return kind(**values)

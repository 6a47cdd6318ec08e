"""Cells of a technology library, read from Liberty: pins, timing arcs, energies and leakage, in ps, fF, fJ and nW."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ....formats import InputError
from .functions import Function, parse_function
from .reader import Group, LibertyFile, names, read_liberty
from .tables import LookupTable, read_table

Edge = Literal["rise", "fall"]
EDGES: tuple[Edge, Edge] = ("rise", "fall")

CellClass = Literal["flip-flop", "latch", "inverter or buffer", "xor", "multiplexer", "adder", "logic"]

_TIMES = {"s": 1e12, "ms": 1e9, "us": 1e6, "ns": 1e3, "ps": 1.0, "fs": 1e-3}
_POWERS = {"w": 1e9, "mw": 1e6, "uw": 1e3, "nw": 1.0, "pw": 1e-3, "fw": 1e-6}
_CAPACITANCES = {"pf": 1e3, "ff": 1.0}
_VOLTAGES = {"v": 1.0, "mv": 1e-3}


@dataclass(frozen=True)
class Arc:
    """Timing arc: delay of an output, or constraint on an input, relative to a related pin.

    Attributes
    ----------
    related : `str`
        Input at which the arc starts.
    kind : `str`
        Timing type of Liberty, such as ``combinational``, ``rising_edge`` or ``setup_rising``.
    sense : `str`
        ``positive_unate``, ``negative_unate`` or ``non_unate``.
    delay, slew : mapping of `Edge` to `LookupTable`
        Delay and slew of the output in ps for each of its edges, over input slew and load. A constraint has no slew. Its
        delay is given for each edge of the constrained pin, over the slews of that pin and of the clock.
    """

    related: str
    kind: str
    sense: str
    delay: Mapping[Edge, LookupTable]
    slew: Mapping[Edge, LookupTable]

    def causes(self, edge: Edge) -> Sequence[Edge]:
        """Edges of the input that can cause this edge of the output."""
        if self.kind == "rising_edge":
            return ("rise",)
        if self.kind == "falling_edge":
            return ("fall",)
        if self.sense == "positive_unate":
            return (edge,)
        if self.sense == "negative_unate":
            return ("fall",) if edge == "rise" else ("rise",)
        return EDGES


@dataclass(frozen=True)
class InternalEnergy:
    """Internal energy of a cell when a pin toggles, without the charge of the pin's load.

    Attributes
    ----------
    related : `str`
        Input that makes the output toggle; empty for the energy of an input pin itself.
    condition : `str`
        State of the other pins. Energies with the same related pin and different conditions are alternatives.
    supply : `str`
        Supply pin. Energies from different supplies add up.
    tables : `tuple` of `LookupTable`
        Energies of a rising and of a falling edge, in fJ, over slew and load.
    """

    related: str
    condition: str
    supply: str
    tables: tuple[LookupTable, ...]

    def per_toggle(self, slew: float, load: float) -> float:
        """Mean energy of a toggle, in fJ, over both edges."""
        return sum(table(slew, load) for table in self.tables) / len(self.tables)


@dataclass(frozen=True)
class Pin:
    """Pin of a cell. Its capacitance is in fF for each edge."""

    name: str
    is_input: bool
    is_clock: bool
    capacitance: Mapping[Edge, float]
    function: Function | None
    arcs: Sequence[Arc]
    energies: Sequence[InternalEnergy]

    @property
    def mean_capacitance(self) -> float:
        """Mean capacitance over both edges, in fF."""
        return (self.capacitance["rise"] + self.capacitance["fall"]) / 2


@dataclass(frozen=True)
class FlipFlop:
    """State of a flip-flop cell: names of the state and its complement, and functions of clock and next state."""

    state: str
    complement: str
    clock: Function
    next_state: Function
    is_asynchronous: bool
    """True if the cell has an asynchronous set or reset."""


@dataclass(frozen=True)
class Cell:
    """Standard cell of a library."""

    name: str
    area_um2: float
    leakage_nw: float
    pins: Mapping[str, Pin]
    flip_flop: FlipFlop | None
    is_latch: bool

    @cached_property
    def outputs(self) -> Sequence[Pin]:
        """Outputs that have a function."""
        return [pin for pin in self.pins.values() if not pin.is_input and pin.function]

    @cached_property
    def kind(self) -> CellClass:
        """Class of the cell, derived from its function."""
        if self.flip_flop:
            return "flip-flop"
        if self.is_latch:
            return "latch"
        if len(self.outputs) > 1:
            return "adder"
        function = self.outputs[0].function if self.outputs else None
        if function is None or len(function.inputs) < 2:
            return "inverter or buffer"
        if function.is_parity:
            return "xor"
        return "multiplexer" if function.is_multiplexer else "logic"


@dataclass(frozen=True)
class _Units:
    """Factors that convert the units of a library to ps, fF, nW and fJ."""

    time: float
    capacitance: float
    leakage: float
    energy: float


class CellLibrary:
    """Cells of one or more Liberty files that belong together.

    Attributes
    ----------
    name : `str`
        Name of the library; the common parts of the names if there are several files.
    files : `list` of `Path`
        Liberty files.
    voltage, temperature : `float`
        Nominal voltage in V and temperature in degrees Celsius.
    corner : `str`
        Process, voltage and temperature, as the library names them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        if not files:
            raise InputError("liberty: no file is given; give the files of a library")
        self._files = [read_liberty(path) for path in files]
        self.files = list(files)
        self._where = {name: file for file in self._files for name in file.cell_names}
        self._cells: dict[str, Cell] = {}
        header = self._files[0].header.attributes
        self.voltage = float(header.get("nom_voltage", "nan"))
        self.temperature = float(header.get("nom_temperature", "nan"))
        self.name = _common_name([file.header.name for file in self._files])
        self.corner = header.get("default_operating_conditions", "") or "nominal"
        if not self.voltage > 0:
            raise InputError(f"liberty: {files[0]} has no nom_voltage; give the files of one corner")
        self._templates = {id(file): _templates(file) for file in self._files}

    def __contains__(self, name: str) -> bool:
        return name in self._where

    @property
    def cell_names(self) -> Sequence[str]:
        """Names of the cells in all files."""
        return list(self._where)

    def cell(self, name: str) -> Cell:
        """Cell of a name that the library has."""
        if name not in self._cells:
            file = self._where[name]
            self._cells[name] = _read_cell(file.cell(name), self._templates[id(file)], _units(file))
        return self._cells[name]


def _common_name(found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    parts = [re.split("_", name) for name in found]
    shared = [column[0] for column in zip(*parts, strict=False) if len(set(column)) == 1]
    return "_".join(shared) or found[0]


def _units(file: LibertyFile) -> _Units:
    """Units in the header of a file.

    Raises
    ------
    InputError
        A unit is missing or unknown.
    """
    header = file.header.attributes

    def scale(field: str, units: Mapping[str, float], default: str) -> float:
        match = re.fullmatch(r"\s*([\d.eE+-]+)\s*,?\s*([a-zA-Z]+)\s*", header.get(field, default))
        if match is None or match[2].lower() not in units:
            raise InputError(f"liberty: {file.path}: {field} is {header.get(field)!r}; give one of {', '.join(units)}")
        return float(match[1]) * units[match[2].lower()]

    capacitance = scale("capacitive_load_unit", _CAPACITANCES, "1,pf")
    volts = scale("voltage_unit", _VOLTAGES, "1V")
    leakage = scale("leakage_power_unit", _POWERS, "1nW")
    return _Units(scale("time_unit", _TIMES, "1ns"), capacitance, leakage, capacitance * volts**2)


def _templates(file: LibertyFile) -> dict[str, Group]:
    return {group.name: group for group in file.header.of_kind("lu_table_template", "power_lut_template")}


def _read_cell(group: Group, templates: dict[str, Group], units: _Units) -> Cell:
    pins = [_read_pin(pin, templates, units) for pin in group.of_kind("pin")]
    return Cell(
        group.name,
        float(group.attributes["area"]),
        _leakage(group) * units.leakage,
        {pin.name: pin for pin in pins},
        _flip_flop(group),
        any(True for _ in group.of_kind("latch")),
    )


def _flip_flop(group: Group) -> FlipFlop | None:
    for ff in group.of_kind("ff"):
        state, complement = names(ff.name)
        clock, following = (parse_function(ff.attributes[name]) for name in ("clocked_on", "next_state"))
        return FlipFlop(state, complement, clock, following, bool({"clear", "preset"} & ff.attributes.keys()))
    return None


def _leakage(group: Group) -> float:
    """Leakage of a cell in the library's unit: its own figure, or the mean over its states, summed over supplies."""
    if "cell_leakage_power" in group.attributes:
        return float(group.attributes["cell_leakage_power"])
    values: dict[str, dict[bool, list[float]]] = {}
    for state in group.of_kind("leakage_power"):
        supply = values.setdefault(state.attributes.get("related_pg_pin", ""), {True: [], False: []})
        supply["when" in state.attributes].append(float(state.attributes["value"]))
    # a figure without a condition is the library's own mean over states
    return sum(_mean(supply[False] or supply[True]) for supply in values.values())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _read_pin(group: Group, templates: dict[str, Group], units: _Units) -> Pin:
    attributes = group.attributes
    plain = attributes.get("capacitance", "0")
    function = attributes.get("function")
    return Pin(
        group.name,
        attributes.get("direction") == "input",
        attributes.get("clock") == "true",
        {edge: float(attributes.get(f"{edge}_capacitance", plain)) * units.capacitance for edge in EDGES},
        parse_function(function) if function else None,
        [arc for timing in group.of_kind("timing") for arc in _arcs(timing, templates, units)],
        [energy for power in group.of_kind("internal_power") for energy in _energies(power, templates, units)],
    )


def _arcs(timing: Group, templates: dict[str, Group], units: _Units) -> Iterator[Arc]:
    tables = {group.kind: group for group in timing.groups}

    def read(kind: str, columns: float) -> dict[Edge, LookupTable]:
        return {
            edge: read_table(tables[name], templates).scaled(units.time, columns, units.time)
            for edge in EDGES
            if (name := kind.format(edge)) in tables
        }

    kind = timing.attributes.get("timing_type", "combinational")
    sense = timing.attributes.get("timing_sense", "non_unate")
    if "constraint" in " ".join(tables):
        delay, slew = read("{}_constraint", units.time), {}
    else:
        delay, slew = read("cell_{}", units.capacitance), read("{}_transition", units.capacitance)
    for related in timing.attributes.get("related_pin", "").split():
        yield Arc(related, kind, sense, delay, slew)


def _energies(power: Group, templates: dict[str, Group], units: _Units) -> Iterator[InternalEnergy]:
    tables = tuple(
        read_table(group, templates).scaled(units.time, units.capacitance, units.energy)
        for group in power.of_kind("rise_power", "fall_power", "power")
    )
    attributes = power.attributes
    for related in attributes.get("related_pin", "").split() or [""]:
        if tables:
            yield InternalEnergy(related, attributes.get("when", ""), attributes.get("related_pg_pin", ""), tables)

"""Reads cells from the groups of a Liberty file: units, defaults, buses and bundles as the Liberty manual says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from ....formats import InputError
from .cell import EDGES, Arc, Cell, Edge, FlipFlop, InternalEnergy, Leakage, Pin
from .functions import Function, Sense, parse_function
from .reader import Group, LibertyFile, names, number
from .tables import LookupTable, read_table

_TIMES = {"s": 1e12, "ms": 1e9, "us": 1e6, "ns": 1e3, "ps": 1.0, "fs": 1e-3}
_POWERS = {"w": 1e9, "mw": 1e6, "uw": 1e3, "nw": 1.0, "pw": 1e-3, "fw": 1e-6}
_CAPACITANCES = {"pf": 1e3, "ff": 1.0}
_VOLTAGES = {"v": 1.0, "mv": 1e-3}

_DIRECTIONS = ("input", "output", "inout", "internal")
_EDGES = ("", "_rise", "_fall")
_EDGE_TYPES = ("setup", "hold", "recovery", "removal", "skew", "non_seq_setup", "non_seq_hold")
_OWN_TYPES = ("min_pulse_width", "minimum_period", "max_clock_tree_path", "min_clock_tree_path")
"""Timing types of a pin by itself, which may leave out the related pin."""
_TYPES = {
    *("rising_edge", "falling_edge", "preset", "clear", "retaining_time", "nochange_high_high", "nochange_high_low"),
    *("nochange_low_high", "nochange_low_low", *_OWN_TYPES),
    *(f"{kind}{edge}" for kind in ("combinational", "three_state_enable", "three_state_disable") for edge in _EDGES),
    *(f"{kind}_{edge}" for kind in _EDGE_TYPES for edge in ("rising", "falling")),
}
"""Values of ``timing_type`` in the Liberty manual."""
_UNREAD = ("statetable", "ff_bank", "latch_bank", "memory", "interface_timing")
_PINS = ("pin", "timing", "internal_power")
_GROUPS: Mapping[str, Sequence[str]] = {
    "cell": ("pin", "bus", "bundle", "ff", "latch", "leakage_power", "pg_pin", "test_cell", *_UNREAD),
    **dict.fromkeys(("pin", "bus", "bundle"), _PINS),
    "timing": [table.format(edge) for table in ("cell_{}", "{}_transition", "{}_constraint") for edge in EDGES],
    "internal_power": ("rise_power", "fall_power", "power"),
}
"""Groups that are read, or change nothing here (supplies, scan cells for test), by the group that holds them."""


class LibraryHeader:
    """Units, defaults, templates and bus types of a file.

    Raises
    ------
    InputError
        A unit or default is missing or unknown, or delays are no tables.
    """

    def __init__(self, file: LibertyFile) -> None:
        self._file, self._attributes = file, file.header.attributes
        if self._attributes.get("delay_model", "table_lookup") != "table_lookup":
            raise self._error("delay_model", "table_lookup")
        self.time = self._scale("time_unit", _TIMES, "1ns")
        self.capacitance = self._scale("capacitive_load_unit", _CAPACITANCES, "1,pf")
        self.leakage = self._scale("leakage_power_unit", _POWERS, "1nW")
        volts = self._scale("voltage_unit", _VOLTAGES, "1V")
        self.energy = self.capacitance * volts**2
        """Internal energies are in units of the load times the square of the voltage."""
        self.templates = {group.name: group for group in file.header.of_kind("lu_table_template", "power_lut_template")}
        self.types = {group.name: group.attributes for group in file.header.of_kind("type")}
        if "nom_voltage" not in self._attributes:
            raise InputError(f"liberty: {file.path} has no nom_voltage; give the files of one corner")
        self.voltage = self.default("nom_voltage", 0) * volts
        if not self.voltage:
            raise self._error("nom_voltage", "a voltage above 0")
        self.temperature = self.default("nom_temperature", float("nan"), signed=True)
        self.cell_leakage = self.default("default_cell_leakage_power", 0)
        self.leakage_density = self.default("default_leakage_power_density", 0)
        self.pin_capacitance = {way: self.default(f"default_{way}_pin_cap", 0) for way in _DIRECTIONS}

    def default(self, field: str, otherwise: float, *, signed: bool = False) -> float:
        """Number of the library's header."""
        if field not in self._attributes:
            return otherwise
        try:
            value = number(self._attributes[field])
        except ValueError:
            raise self._error(field, "a finite number") from None
        if value < 0 and not signed:
            raise self._error(field, "a number of at least 0")
        return value

    def _scale(self, field: str, units: Mapping[str, float], default: str) -> float:
        match = re.fullmatch(
            r"\s*(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*,?\s*([a-zA-Z]+)\s*", self._attributes.get(field, default)
        )
        if match is None or match[2].lower() not in units or not 0 < float(match[1]) < 1e9:
            raise self._error(field, f"one of {', '.join(units)}")
        return float(match[1]) * units[match[2].lower()]

    def _error(self, field: str, wanted: str) -> InputError:
        return InputError(f"liberty: {self._file.path}: {field} is {self._attributes.get(field)!r}; give {wanted}")


def read_cell(group: Group, library: LibraryHeader) -> Cell:
    """Cell of a group; `ValueError` or `KeyError` if the group is none."""
    if "area" not in group.attributes:
        raise InputError("has no area; add it")
    area = _amount(group, "area")
    groups = dict(_pin_groups(group, library))
    pins = {name: _read_pin(name, pin, groups, library) for name, pin in groups.items()}
    unread = [kind for kind in _UNREAD if any(True for _ in group.of_kind(kind))]
    unread += ["clocked_on_also" for ff in group.of_kind("ff") if "clocked_on_also" in ff.attributes]
    leakages = [_leakage_state(state, library) for state in group.of_kind("leakage_power")]
    leakage = _leakage(group, leakages, library, area)
    is_latch = any(True for _ in group.of_kind("latch"))
    not_read = sorted(set(_not_read(group)))
    return Cell(group.name, area, leakage, pins, _flip_flop(group), is_latch, unread, not_read, leakages)


def _not_read(group: Group) -> Iterator[str]:
    for inner in group.groups:
        if inner.kind not in _GROUPS[group.kind]:
            yield f"{group.kind}.{inner.kind}"
        elif inner.kind in _GROUPS:
            yield from _not_read(inner)


def _amount(group: Group, field: str) -> float:
    """Number of at least 0."""
    text = group.attributes[field]
    try:
        value = number(text)
    except ValueError:
        value = -1.0
    if value < 0:
        raise InputError(f"{field} of {group.kind} {group.name} is {text!r}; give a finite number of at least 0")
    return value


def _flip_flop(group: Group) -> FlipFlop | None:
    found = list(group.of_kind("ff"))
    if len(found) > 1:
        raise InputError(f"has {len(found)} ff groups; give one")
    for ff in found:
        state, complement = names(ff.name)
        clock, following = (parse_function(ff.attributes[name]) for name in ("clocked_on", "next_state"))
        return FlipFlop(state, complement, clock, following, bool({"clear", "preset"} & ff.attributes.keys()))
    return None


def _leakage_state(group: Group, library: LibraryHeader) -> Leakage:
    supply = group.attributes.get("related_pg_pin", "")
    return Leakage(group.attributes.get("when", ""), supply, number(group.attributes["value"]) * library.leakage)


def _leakage(group: Group, leakages: Sequence[Leakage], library: LibraryHeader, area: float) -> float:
    """Leakage of a cell in nW: its own figure, or the mean over its states, or the library's default.

    Means are summed over supplies.
    """
    if "cell_leakage_power" in group.attributes:
        return _amount(group, "cell_leakage_power") * library.leakage
    values: dict[str, dict[bool, list[float]]] = {}
    for state in leakages:
        supply = values.setdefault(state.supply, {True: [], False: []})
        supply[bool(state.condition)].append(state.value_nw)
    if not values:
        return (library.cell_leakage or library.leakage_density * area) * library.leakage
    # a figure without a condition is the library's own mean over states
    return sum(_mean(supply[False] or supply[True]) for supply in values.values())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pin_groups(cell: Group, library: LibraryHeader) -> Iterator[tuple[str, Group]]:
    """Each pin of a cell by name; pins of a bus or bundle have its statements and their own."""
    seen: set[str] = set()
    for group in cell.of_kind("pin", "bus", "bundle"):
        own = {name: pin for pin in group.of_kind("pin") for part in names(pin.name) for name in _bits(part)}
        if group.kind == "pin":
            found = [name for part in names(group.name) for name in _bits(part)]
        elif group.kind == "bundle":
            found = list(names(group.attributes["members"]))
        else:
            found = _bits(f"{group.name}[{_range(group, library)}]")
        if unknown := own.keys() - set(found):
            raise InputError(f"{group.kind} {group.name} has no pin {min(unknown)}; fix the library")
        for name in found:
            if name in seen:
                raise InputError(f"has two pins {name}; remove one")
            seen.add(name)
            pin = own.get(name, Group("pin", name))
            outer = [inner for inner in group.groups if inner.kind != "pin"]
            yield name, Group("pin", name, group.attributes | pin.attributes, outer + pin.groups)


def _range(bus: Group, library: LibraryHeader) -> str:
    kind = bus.attributes["bus_type"]
    if kind not in library.types:
        raise InputError(f"bus {bus.name} has the type {kind!r}, which the library lacks; add it")
    return f"{library.types[kind]['bit_from']}:{library.types[kind]['bit_to']}"


def _bits(name: str) -> list[str]:
    """Names of ``A[1:0]``: A[1] and A[0]; other names stand for themselves."""
    match = re.fullmatch(r"(.*)\[\s*(\d{1,4})\s*:\s*(\d{1,4})\s*\]", name)
    if match is None:
        return [name]
    first, last = int(match[2]), int(match[3])
    step = 1 if last >= first else -1
    return [f"{match[1]}[{bit}]" for bit in range(first, last + step, step)]


def _read_pin(name: str, group: Group, pins: Mapping[str, Group], library: LibraryHeader) -> Pin:
    attributes = group.attributes
    direction = attributes.get("direction", "")
    if direction not in _DIRECTIONS:
        raise InputError(f"direction of pin {name} is {direction!r}; give one of {', '.join(_DIRECTIONS)}")
    plain = _amount(group, "capacitance") if "capacitance" in attributes else library.pin_capacitance[direction]
    function = parse_function(attributes["function"]) if attributes.get("function") else None

    def capacitance(edge: Edge) -> float:
        field = f"{edge}_capacitance"
        return (_amount(group, field) if field in attributes else plain) * library.capacitance

    return Pin(
        name,
        direction == "input",
        attributes.get("clock") == "true",
        {edge: capacitance(edge) for edge in EDGES},
        function,
        [arc for timing in group.of_kind("timing") for arc in _arcs(name, function, timing, pins, library)],
        [energy for power in group.of_kind("internal_power") for energy in _energies(power, pins, library)],
    )


def _related(group: Group, pins: Mapping[str, Group]) -> list[str]:
    """Pins that a group is related to; the name of a bus stands for all its pins."""
    text = " ".join(group.attributes.get(field, "") for field in ("related_pin", "related_bus_pins"))
    found: list[str] = []
    for name in (bit for part in text.replace(",", " ").split() for bit in _bits(part)):
        bus = [name] if name in pins else [pin for pin in pins if pin.startswith(f"{name}[")]
        if not bus:
            raise InputError(f"{group.kind} is related to {name!r}, which is no pin; fix the library")
        found += bus
    return found


def _arcs(
    name: str, function: Function | None, timing: Group, pins: Mapping[str, Group], library: LibraryHeader
) -> Iterator[Arc]:
    tables = {group.kind: group for group in timing.groups}

    def read(kind: str, columns: float) -> dict[Edge, LookupTable]:
        return {
            edge: read_table(tables[table], library.templates).scaled(library.time, columns, library.time)
            for edge in EDGES
            if (table := kind.format(edge)) in tables
        }

    kind = timing.attributes.get("timing_type", "combinational")
    if kind not in _TYPES:
        raise InputError(f"timing_type of pin {name} is {kind!r}; give one of the Liberty manual")
    if "constraint" in " ".join(tables):
        delay, slew = read("{}_constraint", library.time), {}
    else:
        delay, slew = read("cell_{}", library.capacitance), read("{}_transition", library.capacitance)
    related = _related(timing, pins) or ([name] if kind in _OWN_TYPES else [])
    if not related:
        raise InputError(f"timing of pin {name} has no related_pin; add it")
    for pin in related:
        derived = function.sense(pin) if function and pin in function.inputs else "non_unate"
        sense = timing.attributes.get("timing_sense", derived)
        if sense not in get_args(Sense):
            raise InputError(f"timing_sense of pin {name} is {sense!r}; give one of {', '.join(get_args(Sense))}")
        yield Arc(pin, kind, sense, delay, slew)


def _energies(power: Group, pins: Mapping[str, Group], library: LibraryHeader) -> Iterator[InternalEnergy]:
    tables = tuple(
        read_table(group, library.templates).scaled(library.time, library.capacitance, library.energy)
        for group in power.of_kind("rise_power", "fall_power", "power")
    )
    if not tables:
        raise InputError("internal_power has no table; add it, or leave the group out")
    attributes = power.attributes
    for related in _related(power, pins) or [""]:
        yield InternalEnergy(related, attributes.get("when", ""), attributes.get("related_pg_pin", ""), tables)

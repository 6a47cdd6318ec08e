"""Cells of a technology library: pins, timing arcs, energies and leakage, in ps, fF, fJ and nW."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from .functions import Function
from .tables import LookupTable

Edge = Literal["rise", "fall"]
EDGES: tuple[Edge, Edge] = ("rise", "fall")

CellClass = Literal["flip-flop", "latch", "inverter or buffer", "xor", "multiplexer", "adder", "logic"]


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
class Leakage:
    """Leakage of a cell in nW from one supply, in the states in which a condition holds, or in all others."""

    condition: str
    supply: str
    value_nw: float


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
    unread: Sequence[str] = ()
    """Statements of its behaviour that this reader does not know, such as ``statetable``; mapping leaves it out."""
    not_read: Sequence[str] = ()
    """Groups that have no part in the results but could, such as current tables; names after the groups that hold them."""
    leakages: Sequence[Leakage] = ()
    """Leakage by state; `leakage_nw` is the mean over states."""

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

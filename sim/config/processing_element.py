"""Processing elements as data: lanes, operands, cycles, arithmetic, area and energy of one element of the array."""

import math
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ...formats import InputError
from ...formats.documents.expressions import Expression
from ...formats.documents.schema import INTEGER, Config, Name, check
from ...formats.documents.yaml_file import read_yaml
from ...formats.latency.array import array_cycles_per_group
from ...formats.latency.elements import FP16_GROUP_CYCLES, WEIGHT_PLANE_CYCLES, pe_cycles_per_group
from ...formats.named_format import NamedFormat
from ...formats.options import GroupSum
from ...formats.processing_elements.registry import elements
from ...formats.weights.int4 import BITS as INT4_BITS
from ...workloads.models.gemms import FP16_BITS
from .amounts import AREA_UNITS, ENERGY_UNITS, POWER_UNITS, Amount, in_units
from .yaml_config import own_file

Timing = Literal["bit-serial", "fp16-rate", "mantissa-rate", "weight-serial"]

CYCLE_NAMES = ("mantissa_bits", "weight_bits", "group_size")
"""Names in a formula of cycles."""
MOST_CYCLES = 1 << 20
STORED = "stored"
"""The arithmetic of elements that compute with the values in memory."""


def _formula(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _known_names(text: str) -> str:
    expression = _parsed(text)
    if unknown := sorted(expression.names - set(CYCLE_NAMES)):
        raise ValueError(f"{unknown[0]!r} is unknown; use {', '.join(CYCLE_NAMES)}")
    return text


@cache
def _parsed(text: str) -> Expression:
    return Expression(text, "formula")


@cache
def formula_cycles(text: str, mantissa_bits: int, weight_bits: int, group_size: int) -> int:
    """Cycles of a group by a formula; `ValueError` where they are no whole number above 0."""
    names = {"mantissa_bits": mantissa_bits, "weight_bits": weight_bits, "group_size": group_size}
    found = _parsed(text).evaluate(names)
    if not isinstance(found, float):
        raise ValueError(f"{text!r} is a {'text' if isinstance(found, str) else 'condition'}; give a number of cycles")
    value = float(found)
    if not (math.isfinite(value) and value == int(value) and 0 < value <= MOST_CYCLES):
        at = ", ".join(f"{name} {number}" for name, number in names.items())
        raise ValueError(
            f"{text!r} is {value:g} at {at}; give a whole number of cycles from 1 to {MOST_CYCLES}, such as "
            "ceil(mantissa_bits / 2)"
        )
    return int(value)


class Arithmetic(Config):
    """Numbers that an element computes with: they decide the loss of a model."""

    format: str = STORED
    """Activation format and its parameters, such as ``figna mantissa_bits=8``; ``stored`` computes with the values in
    memory, exactly. A format's ``mantissa_bits`` that are left out are those of the element."""
    partial: GroupSum = "float"
    """Type of a group's sum before it is scaled: ``fp16`` or ``fp32``; ``float`` multiplies in float32 as the model does."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format != STORED:
            NamedFormat.read(self.format, "format")
        return self


def _arithmetic(value: Any) -> Any:
    return {"format": value} if isinstance(value, str) else value


class ProcessingElement(Config):
    """One element of the array: `lanes` products of an activation with a weight, for one token and output channel.

    Cycles for a group of `lanes` channels are those of a formula, `cycles_per_group`, or of a `timing`:

    * ``bit-serial``: a cycle for the sign plane and one for each mantissa plane;
    * ``fp16-rate``: as long as the FP16 baseline, whatever the mantissa;
    * ``weight-serial``: a quarter of that for each bit of the weights, so as long for INT4;
    * ``mantissa-rate``: the array needs as many cycles as the operand has mantissa bits, 16/11 and 16/8 faster than
      FP16. This is how the published system-level speedups of FIGNA-M11 and FIGNA-M8 are counted; the published area
      and energy of one element are at the FP16 rate.

    An integer weight wider than the element's operand passes as digits, one after the other, each at these cycles.

    Area and energies that are left out are those of `kind` in the technology.
    """

    kind: Name
    """Name of the element, and of its area and power in the technology file."""
    title: str = ""
    lanes: Annotated[Literal[8, 16, 32, 64, 128], INTEGER]
    timing: Timing | None = None
    cycles_per_group: Annotated[str | None, BeforeValidator(_formula)] = None
    """Formula over `CYCLE_NAMES`; ``weight_bits`` are the bits of the weights that pass at once."""
    weight_operand: Literal["fp16", "int"]
    """Format of the weight operand: FP16, to which weights are converted, or an integer."""
    weight_bits: int = Field(default=INT4_BITS, ge=1, le=8)
    """Bits of an integer weight operand; 1 with ``weight-serial``."""
    mantissa_bits: int | Literal["variable"]
    """Significant bits of the activation operand; ``variable``: the precision that a run asks for."""
    midpoint: bool = False
    """True if a cut mantissa stands for the middle of its interval. This takes one more pass of the array."""
    arithmetic: Annotated[Arithmetic | None, BeforeValidator(_arithmetic)] = None
    """How it computes; None leaves the loss unknown."""
    area: Annotated[Amount, in_units(*AREA_UNITS)] | None = None
    """Area of one element."""
    energy_per_cycle: Annotated[Amount, in_units(*ENERGY_UNITS, *POWER_UNITS)] | None = None
    """Energy of one element in a cycle of work, or its power at a clock."""
    idle_energy_per_cycle: Annotated[Amount, in_units(*ENERGY_UNITS, *POWER_UNITS)] | None = None
    """Energy of one element that holds its operands, in a cycle: clock pins and leakage."""
    gated_energy_per_cycle: Annotated[Amount, in_units(*ENERGY_UNITS, *POWER_UNITS)] | None = None
    """Energy of one element without a clock, in a cycle: leakage."""
    node: str | None = Field(default=None, min_length=1)
    """Node and voltage of the absolute amounts, such as ``7 nm, 0.70 V``."""
    source: str | None = Field(default=None, min_length=1)
    uncertainty: str = "not stated"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.timing is None) == (self.cycles_per_group is None):
            raise ValueError("cycles_per_group: give a formula here, or a timing, and not both")
        if self.timing is not None and (self.timing == "bit-serial") != (self.mantissa_bits == "variable"):
            raise ValueError("mantissa_bits: 'variable' needs timing: bit-serial; give a number with the other timings")
        if self.timing == "weight-serial" and (self.weight_operand, self.weight_bits) != ("int", 1):
            raise ValueError("weight_bits: timing weight-serial takes one bit at a time; use weight_operand: int and 1")
        if self.midpoint and self.timing != "bit-serial":
            raise ValueError("midpoint: needs timing: bit-serial; leave it out")
        if self.mantissa_bits != "variable" and not 1 <= self.mantissa_bits <= FP16_BITS:
            raise ValueError(f"mantissa_bits: {self.mantissa_bits} is out of range; use 1 to 16 or 'variable'")
        self._check_cycles()
        self._check_amounts()
        return self

    def _check_cycles(self) -> None:
        """Refuse a formula that fails at some width at which the element may be asked."""
        if self.cycles_per_group is None:
            return
        try:
            _known_names(self.cycles_per_group)
            lengths = range(1, FP16_BITS + 1) if self.mantissa_bits == "variable" else (self.mantissa_bits,)
            operand = self._weight_operand_bits
            for mantissa_bits in lengths:
                for weight_bits in range(1, operand + 1) if self.weight_operand == "int" else (operand,):
                    formula_cycles(self.cycles_per_group, mantissa_bits, weight_bits, self.lanes)
        except ValueError as error:
            raise ValueError(f"cycles_per_group: {str(error).removeprefix('formula: ')}") from None

    def _check_amounts(self) -> None:
        for field, amount in self.amounts.items():
            for fact in ("node", "source"):
                if amount.relative_to is None and getattr(amount, fact) is None and getattr(self, fact) is None:
                    raise ValueError(f"{field}.{fact}: is missing; add it here or as {fact} of the element")

    @property
    def amounts(self) -> dict[str, Amount]:
        """Area and energies that the element states, by field."""
        fields = ("area", "energy_per_cycle", "idle_energy_per_cycle", "gated_energy_per_cycle")
        return {field: amount for field in fields if (amount := getattr(self, field)) is not None}

    @property
    def has_absolute_amounts(self) -> bool:
        """True if an area or energy is that of an element with just these lanes."""
        return any(amount.relative_to is None for amount in self.amounts.values())

    @property
    def _weight_operand_bits(self) -> int:
        return FP16_BITS if self.weight_operand == "fp16" else self.weight_bits

    def element_cycles(self, mantissa_bits: int, weight_bits: int | None = None) -> int:
        """Cycles in which one element works for one digit of a group at its published power.

        Parameters
        ----------
        mantissa_bits
            Mantissa bits of the activations.
        weight_bits
            Bits of the weights; None for those of the element's operand.
        """
        if self.cycles_per_group is not None:
            operand = self._weight_operand_bits
            at_once = operand if weight_bits is None or self.weight_operand == "fp16" else min(weight_bits, operand)
            return formula_cycles(self.cycles_per_group, mantissa_bits, at_once, self.lanes)
        if self.timing == "bit-serial":
            return pe_cycles_per_group(mantissa_bits)
        return WEIGHT_PLANE_CYCLES if self.timing == "weight-serial" else FP16_GROUP_CYCLES

    def array_cycles(self, mantissa_bits: int, weight_load_cycles: int, weight_bits: int | None = None) -> int:
        """Cycles from one digit of a group to the next in the array, whose weights stream from the buffer."""
        if self.timing == "bit-serial":
            return array_cycles_per_group(mantissa_bits, weight_load_cycles)
        return max(self.working_cycles(mantissa_bits, weight_bits), weight_load_cycles)

    def working_cycles(self, mantissa_bits: int, weight_bits: int | None = None) -> int:
        """Cycles that one digit of a group takes if its operands are there."""
        return mantissa_bits if self.timing == "mantissa-rate" else self.element_cycles(mantissa_bits, weight_bits)

    def digits(self, weight_bits: int) -> int:
        """Passes for a weight of `weight_bits` bits; FP16 operands hold every weight."""
        return 1 if self.weight_operand == "fp16" else -(-weight_bits // self.weight_bits)


def load_element(named: Any) -> Any:
    """An element by the name of a registered class or the path of a YAML file; anything else is returned as it is.

    A file holds the keys of an element, or one key ``processing_element`` with them, as in an architecture.

    Raises
    ------
    InputError
        There is no such class or file, it has an unknown key or a bad value, or a key is missing.
    """
    if not isinstance(named, (str, Path)):
        return named
    path = own_file(named, "processing_element")
    if path is None:
        return _registered(str(named))
    where = f"processing element {path.name}"
    data: Any = read_yaml(path, where)
    if isinstance(data, dict) and set(data) == {"processing_element"}:
        data = data["processing_element"]
    return check(ProcessingElement, data, where)


def _registered(name: str) -> ProcessingElement:
    """The element of a registered class: its members that have the name of a key."""
    if name not in elements.names():
        known = f"one of {', '.join(elements.names())}" if elements.names() else "register one with --plugin FILE"
        raise InputError(f"processing_element: {name!r} is no YAML file and not registered; name a file, or {known}")
    found = elements.find(name)
    facts = {key: getattr(found, key) for key in ProcessingElement.model_fields if hasattr(found, key)}
    return check(ProcessingElement, {"kind": name, **facts}, f"processing element {name}")

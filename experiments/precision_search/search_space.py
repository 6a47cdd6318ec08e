"""What a search chooses among, and what it minimises: numerics beside the mantissa bits, BOPs or the simulated machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from ...formats import AndaFormat, InputError
from ...workloads import AndaActivations, AndaArithmetic, ModelShape, Precision, bops, gemms
from .search import START_MANTISSA_BITS, lowered

if TYPE_CHECKING:
    from ...sim import Architecture

Reconstruct = Literal["truncate", "midpoint", "nearest"]
Partial = Literal["float", "fp16", "fp32"]
Objective = Literal["bops", "energy", "latency"]

FP16_BITS = 16
PREFILL_TOKENS = 2048
"""Of the pass whose energy or latency is minimised."""

_FORMAT_OPTIONS: dict[Reconstruct, dict[str, str]] = {
    "truncate": {},
    "midpoint": {"reconstruct": "midpoint"},
    "nearest": {"rounding": "nearest"},
}


@dataclass(frozen=True, order=True)
class Numerics:
    """How mantissas of any length are cut, grouped and multiplied.

    Raises:
        InputError: a value is unknown.
    """

    reconstruct: Reconstruct = "truncate"
    """What a cut mantissa stands for: its value, the middle of what was cut, or the nearest one (rounded on writing)."""
    group_size: int = 64
    """Values that share an exponent."""
    partial: Partial = "float"
    """Sum of a group: float32 products of Anda values (fast), or bit for bit the circuit's, rounded to fp16 or fp32."""

    def __post_init__(self) -> None:
        for name, values in (("reconstruct", Reconstruct), ("partial", Partial)):
            if getattr(self, name) not in get_args(values):
                raise InputError(f"{name}: {getattr(self, name)!r} is unknown; use {', '.join(get_args(values))}")
        AndaFormat(mantissa_bits=1, group_size=self.group_size)

    def activations(self, precision: Precision) -> AndaActivations | AndaArithmetic:
        """What an evaluation does to the GeMMs."""
        options = {"group_size": self.group_size, **_FORMAT_OPTIONS[self.reconstruct]}
        if self.partial == "float":
            return AndaActivations(precision, **options)
        return AndaArithmetic(precision, self.partial, **options)

    def __str__(self) -> str:
        return f"{self.reconstruct}, groups of {self.group_size}, {self.partial} sums"


PUBLISHED = Numerics()
"""Truncation and groups of 64, as in the paper."""


@dataclass(frozen=True, order=True)
class Choice:
    """A candidate: mantissa bits of the modules and the numerics."""

    precision: Precision
    numerics: Numerics = PUBLISHED

    def neighbours(self) -> Iterator[Choice]:
        """One mantissa bit less in one module."""
        return (Choice(precision, self.numerics) for precision in lowered(self.precision))


def start_choices(numerics: Iterable[Numerics]) -> list[Choice]:
    """The uniform precisions with each of the numerics."""
    return [Choice(Precision.uniform(bits), own) for own in numerics for bits in START_MANTISSA_BITS]


@dataclass(frozen=True)
class Cost:
    """What choosing a precision costs a model, as a sum over its layers.

    ``"bops"``: bit operations of a token. ``"energy"``: pJ, and ``"latency"``: cycles, of a pass over `PREFILL_TOKENS`
    tokens on the architecture ``anda`` in closed form; results of a layer count as compressed to that layer's own widths.
    For another group size, the array has elements of that many lanes and as many fewer or more rows.

    Raises:
        InputError: an unknown objective.
    """

    objective: Objective
    shape: ModelShape

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise InputError(f"objective: {self.objective!r} is unknown; use {', '.join(get_args(Objective))}")

    def __call__(self, choice: Choice) -> float:
        """Of a model whose layers are alike."""
        return self.shape.layers * self.layer(choice)

    def layer(self, choice: Choice) -> float:
        """Of one layer."""
        one = replace(self.shape, layers=1)
        if self.objective == "bops":
            return bops(one, choice.precision)
        return _simulated(one, choice.precision, choice.numerics.group_size, self.objective)


def saving(shape: ModelShape, layers: Iterable[Precision]) -> float:
    """Bit operations with FP16 activations over those with these precisions, one a layer."""
    one = replace(shape, layers=1)
    used = [bops(one, precision) for precision in layers]
    return len(used) * bops(one, Precision.uniform(FP16_BITS)) / sum(used)


@cache
def _simulated(
    shape: ModelShape, precision: Precision, group_size: int, objective: Literal["energy", "latency"]
) -> float:
    from ...sim import simulate

    result = simulate(gemms(shape, tokens=PREFILL_TOKENS), _machine(group_size), precision, objective=objective)
    return result.energy_pj.total if objective == "energy" else result.cycles


@cache
def _machine(group_size: int) -> Architecture:
    """Anda with elements of `group_size` lanes, at the same peak throughput and width of memory."""
    from ...sim import load_architecture

    machine = load_architecture("anda")
    if group_size == machine.group_size:
        return machine
    lanes = machine.array.rows * machine.group_size
    return machine.model_copy(
        update={
            "array": machine.array.model_copy(update={"rows": lanes // group_size}),
            "processing_element": machine.processing_element.model_copy(update={"lanes": group_size}),
        }
    )

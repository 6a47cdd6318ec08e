"""The space of a precision search: the mantissa bits of each module, and the numerics beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from ...formats import AndaFormat
from ...formats.checks import check_choice
from ...formats.numeric.alignment import GROUP_SIZE
from ...formats.options import GroupSum, Shortening
from ...workloads import MODULES, AndaActivations, AndaArithmetic, Precision

START_MANTISSA_BITS = range(4, 14)
"""Algorithm 1 starts from the precisions 4,4,4,4 to 13,13,13,13."""

_FORMAT_OPTIONS: dict[Shortening, dict[str, str]] = {
    "truncate": {},
    "midpoint": {"reconstruct": "midpoint"},
    "nearest": {"rounding": "nearest"},
}


@dataclass(frozen=True, order=True)
class Numerics:
    """How activations of any mantissa length are shortened, grouped and multiplied.

    Raises
    ------
    InputError
        A value is unknown.
    """

    reconstruct: Shortening = "truncate"
    """Value of a shortened mantissa: truncated, the midpoint of the cut interval, or rounded to nearest when encoded."""
    group_size: int = GROUP_SIZE
    """Number of values that share an exponent."""
    partial: GroupSum = "float"
    """Type of a group's sum: ``"float"`` multiplies Anda values in float32 (fast); ``"fp16"`` and ``"fp32"`` give the
    circuit's sums bit for bit."""

    def __post_init__(self) -> None:
        check_choice("reconstruct", self.reconstruct, get_args(Shortening))
        check_choice("partial", self.partial, get_args(GroupSum))
        AndaFormat(mantissa_bits=1, group_size=self.group_size)

    def activations(self, precision: Precision) -> AndaActivations | AndaArithmetic:
        """Activation hook that evaluates a model at this precision with these numerics."""
        options = {"group_size": self.group_size, **_FORMAT_OPTIONS[self.reconstruct]}
        if self.partial == "float":
            return AndaActivations(precision, **options)
        return AndaArithmetic(precision, self.partial, **options)

    def __str__(self) -> str:
        return f"{self.reconstruct}, groups of {self.group_size}, {self.partial} sums"


PUBLISHED = Numerics()
"""The numerics of the paper: truncation and groups of 64."""


@dataclass(frozen=True, order=True)
class Choice:
    """A candidate of the search: the mantissa bits of the modules, and the numerics."""

    precision: Precision
    numerics: Numerics = PUBLISHED

    def neighbours(self) -> Iterator[Choice]:
        """Choices with one mantissa bit less in one module."""
        return (Choice(precision, self.numerics) for precision in lowered(self.precision))

    def activations(self) -> AndaActivations | AndaArithmetic:
        """Activation hook that evaluates a model at this choice."""
        return self.numerics.activations(self.precision)


def lowered(precision: Precision) -> Iterator[Precision]:
    """Precisions with one mantissa bit less in one module."""
    for module, bits in zip(MODULES, precision, strict=True):
        if bits > 1:
            yield precision._replace(**{module: bits - 1})


def start_choices(numerics: Iterable[Numerics] = (PUBLISHED,)) -> list[Choice]:
    """The uniform precisions from which Algorithm 1 starts, with each of the numerics."""
    return [Choice(Precision.uniform(bits), own) for own in numerics for bits in START_MANTISSA_BITS]


def all_choices(numerics: Iterable[Numerics], widths: Iterable[int]) -> list[Choice]:
    """Every assignment of these mantissa bits to the four modules, with each of the numerics."""
    precisions = [Precision(*modules) for modules in itertools.product(widths, repeat=len(MODULES))]
    return [Choice(precision, own) for own in numerics for precision in precisions]

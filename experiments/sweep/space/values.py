"""Values of a sweep's field: one, a list, a range with a step, or a range with a number of points, spaced by ratio."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, StrictFloat, StrictInt, WithJsonSchema

LIMIT = 100_000
"""Most values of one field."""
KEYS = "from, to, step (or points: that many, spaced by equal ratios), unit"


def expand(value: Any) -> list[Any]:
    """The values that a scalar, a list or a range of a sweep file stands for.

    Raises
    ------
    ValueError
        A range that is none.
    """
    if value is None or value == []:
        raise ValueError("there is no value; give one, a list of some, or a range")
    if isinstance(value, dict):
        return _range({str(key): item for key, item in value.items()})
    return list(value) if isinstance(value, list | tuple) else [value]


def _range(given: dict[str, Any]) -> list[Any]:
    if unknown := sorted(set(given) - {"from", "to", "step", "points", "unit"}):
        raise ValueError(f"{unknown[0]!r} is not a key of a range; use {KEYS}")
    for key in ("from", "to"):
        if not _is_number(given.get(key)):
            raise ValueError(f"a range needs a number under {key!r}; use {KEYS}")
    start, stop = given["from"], given["to"]
    if stop < start:
        raise ValueError(f"the range from {start} to {stop} is empty; put the smaller first")
    if "points" in given and "step" in given:
        raise ValueError("a range has either step or points; remove one")
    numbers = _by_ratio(start, stop, given["points"]) if "points" in given else _by_step(start, stop, given)
    return [f"{number} {given['unit']}" for number in numbers] if "unit" in given else numbers


def _by_step(start: float, stop: float, given: dict[str, Any]) -> list[float]:
    step = given.get("step", 1)
    if not _is_number(step) or step <= 0:
        raise ValueError(f"step is {step!r}; give a number above 0")
    if not (stop - start) / step < LIMIT:
        raise ValueError(f"the range has more than {LIMIT} values; take a larger step")
    count = math.floor((stop - start) / step * (1 + 1e-12)) + 1
    return [start + index * step for index in range(count)]


def _by_ratio(start: float, stop: float, points: Any) -> list[float]:
    if not isinstance(points, int) or not 2 <= points <= LIMIT:
        raise ValueError(f"points is {points!r}; give a whole number from 2 to {LIMIT}")
    if start <= 0:
        raise ValueError(f"a range spaced by ratios starts at {start}; start above 0")
    if not math.isfinite(stop / start):
        raise ValueError(f"the range from {start} to {stop} is too wide; bring its ends closer")
    numbers = [start * (stop / start) ** (index / (points - 1)) for index in range(points)]
    if isinstance(start, int) and isinstance(stop, int):
        return list(dict.fromkeys(round(number) for number in numbers))
    return [*numbers[:-1], stop]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _schema(item: dict[str, Any]) -> WithJsonSchema:
    number = {"type": "number"}
    span = {
        "type": "object",
        "required": ["from", "to"],
        "additionalProperties": False,
        "properties": {
            "from": number,
            "to": number,
            "step": number,
            "points": {"type": "integer", "minimum": 2},
            "unit": {"type": "string"},
        },
    }
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}, span]})


Numbers = Annotated[tuple[StrictInt, ...], Field(min_length=1), BeforeValidator(expand), _schema({"type": "integer"})]
Texts = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(expand), _schema({"type": "string"})]
Names = Annotated[tuple[str, ...], Strict(False)]
"""A list of texts, in the file's own order."""
Scalars = Annotated[
    tuple[StrictInt | StrictFloat | str, ...],
    Field(min_length=1),
    BeforeValidator(expand),
    _schema({"type": ["number", "string"]}),
]

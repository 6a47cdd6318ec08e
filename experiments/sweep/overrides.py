"""Architectures and technologies with some fields set by a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...formats import InputError
from ...formats.documents.schema import check
from ...formats.documents.yaml_file import read_yaml
from ...formats.named_format import GivenFormat
from ...formats.plugins import registered
from ...sim import Architecture, Technology, load_architecture, load_technology
from ...sim.config.architecture import FOLDER as ARCHITECTURES
from ...sim.config.architecture import FORMER_NAMES, read_architecture, with_current_names
from ...sim.config.array import reshaped
from ...sim.config.processing_element import ProcessingElement, load_element
from ...sim.config.weights import WeightConfig, load_weights
from ...sim.config.yaml_config import find_config

Settings: TypeAlias = tuple[tuple[str, int | float | str], ...]
"""Pairs of a dotted field, such as ``activation_buffer.capacity`` or ``dram.bandwidth``, and its value."""

BOTH_PHASES = ("array.dataflow", "array.count", "array.split")
"""Fields that hold for a reshaped array in both phases."""


def architecture_with(name: str, settings: Settings, activations: GivenFormat | None = None) -> Architecture:
    """An architecture with fields replaced, checked as if its file said so, and with another activation format, if one is given.

    Raises
    ------
    InputError
        It has no such field, or its values do not go together.
    """
    machine = _architecture(name, settings, _contents(name, settings), _plugins())
    return machine if activations is None else machine.with_activations(activations)


def _plugins() -> tuple[str, ...]:
    """Hashes of a user's own classes: when one changes, what was made of it is made anew."""
    return tuple(found.sha256 for found in registered() if found.sha256 is not None)


def _contents(name: str, settings: Settings) -> tuple[str | None, ...]:
    """Texts of a user's own files: when one changes, what was made of it is made anew."""
    return (file_content(name), *(file_content(value) for _, value in settings))


@lru_cache(maxsize=4096)
def _architecture(name: str, settings: Settings, _: tuple[str | None, ...], __: tuple[str, ...]) -> Architecture:
    if not settings:
        return load_architecture(name)
    path = find_config(name, ARCHITECTURES, "architecture")
    data: dict[str, Any] = with_current_names(read_architecture(path))
    settings = tuple((FORMER_NAMES.get(field, field), value) for field, value in settings)
    element = load_element(data["processing_element"])
    if isinstance(element, ProcessingElement):
        data["processing_element"] = element.model_dump(by_alias=True)
    data["weights"] = load_weights(data["weights"]).model_dump()
    data["array"] = load_architecture(name).array.model_dump()
    for field, value in settings:
        content = load_weights(value).model_dump() if field == "weights" else value
        if field == "array" and isinstance(value, str):
            content = _reshaped(data["array"], value)
        _parent(data, field, f"architecture.{field}", name)[_last(field)] = content
        if field in BOTH_PHASES and data["array"].get("decode") is not None:
            data["array"]["decode"][_last(field)] = content
    where = f"architecture {name} with " + ", ".join(f"{field} {value}" for field, value in settings)
    data["weights"] = check(WeightConfig, data["weights"], where)
    machine = check(Architecture, data, where)
    given = load_architecture(name).processing_element
    if machine.processing_element.has_absolute_amounts and ("processing_element.lanes" in dict(settings)):
        raise InputError(
            f"{where}: processing_element.lanes: the area and energies of {given.kind} are those of an element of "
            f"{given.lanes} lanes; leave lanes out, or give them relative_to an element"
        )
    return machine


def _reshaped(array: Any, shape: str) -> Any:
    try:
        return reshaped(array, shape)
    except ValueError as error:
        raise InputError(f"architecture.array: {error}") from None


def technology_with(name: str, settings: Settings) -> Technology:
    """A technology with the values of some constants replaced.

    Raises
    ------
    InputError
        It has no such constant, or the value is out of its range.
    """
    return _technology(name, settings, _contents(name, settings))


@lru_cache(maxsize=4096)
def _technology(name: str, settings: Settings, _: tuple[str | None, ...]) -> Technology:
    if not settings:
        return load_technology(name)
    data = load_technology(name).model_dump(by_alias=True)
    for field, value in settings:
        constant = _parent(data, field, f"technology.{field}", name).get(_last(field))
        if not isinstance(constant, dict) or "value" not in constant:
            raise InputError(f"technology.{field}: is not a constant of {name}; name one, such as dram.bandwidth")
        constant |= {"value": value, "source": "set by the sweep"}
    text = ", ".join(f"{field} {value}" for field, value in settings)
    return check(Technology, data, f"technology {name} with {text}")


def column(field: str) -> str:
    """The column of a field: dots become underscores."""
    return field.replace(".", "_")


def architecture_columns(name: str, settings: Settings) -> dict[str, int | float | str]:
    """The replaced fields as columns, amounts in bytes, bits or hertz; whole parts by the name that the sweep gives."""
    data = architecture_with(name, settings).model_dump(by_alias=True) if settings else {}
    values = {field: (_at(data, FORMER_NAMES.get(field, field).split(".")), given) for field, given in settings}
    return {column(field): given if isinstance(value, dict) else value for field, (value, given) in values.items()}


def technology_columns(settings: Settings) -> dict[str, int | float | str]:
    """The replaced constants as columns, in the units of the technology file."""
    return {column(field): value for field, value in settings}


def file_content(name: object) -> str | None:
    """Everything of a user's own behind a name, on which a point's key depends; None if there is nothing.

    That is the text of a YAML file, those of the files that it names, and the hashes of registered classes that it names.
    """
    return "".join(_own_texts(name, frozenset())) or None


def _own_texts(name: object, seen: frozenset[Path]) -> Iterator[str]:
    if isinstance(name, Mapping):
        for value in name.values():
            yield from _own_texts(value, seen)
    if not isinstance(name, str):
        return
    path = Path(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        word = name.partition(" ")[0]
        yield from (own.sha256 for own in registered() if own.name == word and own.sha256 is not None)
    elif path.is_file() and path not in seen:
        yield path.read_text("utf-8")
        yield from _own_texts(read_yaml(path, f"file {path.name}"), seen | {path})


def _parent(data: dict[str, Any], field: str, where: str, name: str) -> dict[str, Any]:
    *groups, _ = field.split(".")
    for group in groups:
        inner = data.get(group)
        if not isinstance(inner, dict):
            raise InputError(f"{where}: {name} has no {group!r}; name a field that every architecture of the sweep has")
        data = inner
    return data


def _last(field: str) -> str:
    return field.rpartition(".")[2]


def _at(data: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = data
    for key in path:
        value = value[key]
    return value


NUMBERS: dict[str, tuple[str, ...]] = {
    "array.rows": ("array", "rows"),
    "array.columns": ("array", "columns"),
    "processing_element.lanes": ("processing_element", "lanes"),
    "activation_buffer.capacity": ("activation_buffer", "capacity_bytes"),
    "activation_buffer.port": ("activation_buffer", "port_bits"),
    "exponent_buffer.capacity": ("exponent_buffer", "capacity_bytes"),
    "exponent_buffer.port": ("exponent_buffer", "port_bits"),
    "weight_buffer.capacity": ("weight_buffer", "capacity_bytes"),
    "weight_buffer.port": ("weight_buffer", "port_bits"),
    "clock": ("clock_hz",),
    "vector_lanes": ("vector_lanes",),
    "compressor.lanes": ("compressor", "lanes"),
}
"""Fields of an architecture that are numbers, of which formulas take whole columns, and where an `Architecture` has them."""
LANES = (8, 16, 32, 64, 128)
MOST_ELEMENTS = 1024


def with_numbers(node: Any, path: Sequence[str], values: Any) -> Any:
    """A checked object with a column in place of one of its numbers; nothing is checked again."""
    if not path:
        return values
    head, *rest = path
    if isinstance(node, Mapping):
        return {**node, head: with_numbers(node[head], rest, values)}
    return node.model_copy(update={head: with_numbers(getattr(node, head), rest, values)})


def doubtful(machine: Architecture) -> Any:
    """True where columns in an architecture may not go together, or may be out of range: there its file has to be checked."""
    array, lanes = machine.array, machine.processing_element.lanes
    bad = np.logical_not(np.isin(lanes, LANES)) | (array.decode is not None)
    bad = bad | (np.ndim(lanes) > 0 and machine.processing_element.has_absolute_amounts)
    compressors = () if machine.compressor is None else (machine.compressor.lanes,)
    for count in (array.rows, array.columns, *compressors):
        bad = bad | (np.asarray(count) < 1) | (np.asarray(count) > MOST_ELEMENTS)
    bad = bad | (np.asarray(machine.vector_lanes) < 1)
    if machine.processing_element.timing == "bit-serial":
        bad = bad | (np.asarray(array.rows) * lanes > machine.activation_buffer.port_bits)
    return bad

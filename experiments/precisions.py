"""The precision that a simulation asks for: from numbers, a text, a file with one precision a layer, or the architecture's default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..formats import InputError
from ..formats.documents.yaml_file import read_yaml
from ..workloads import Precision

if TYPE_CHECKING:
    from ..sim import Architecture

GivenPrecision: TypeAlias = "str | Path | int | Sequence[Any] | Precision | None"
LayerPrecisions: TypeAlias = tuple[Precision, ...]

FIX = "list one precision for each layer, such as [[7, 5, 6, 6], [6, 5, 6, 6]]"


def as_precision(precision: str | int | Sequence[int]) -> Precision:
    """A precision from ``"7,5,6,6"``, from one number for all modules, or from four numbers."""
    if isinstance(precision, Precision):
        return precision
    if isinstance(precision, str):
        return Precision.uniform(int(precision)) if precision.strip().isdecimal() else Precision.parse(precision)
    if isinstance(precision, Sequence):
        return Precision.parse(",".join(map(str, precision)))
    return Precision.uniform(precision)


def asked_precision(machine: Architecture, given: GivenPrecision) -> Precision | LayerPrecisions:
    """The precision of a run: the one given, or the architecture's default.

    Raises
    ------
    InputError
        None is given and the architecture has no default, or the one given is wrong.
    """
    if given is not None:
        return given_precision(given)
    if not machine.takes_precision:
        return Precision.uniform(16)  # replaced by the format's or the architecture's own
    if machine.default_precision is None:
        raise InputError(
            f"precision: {machine.name} needs one; give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"
        )
    return machine.default_precision


def given_precision(given: str | Path | int | Sequence[Any]) -> Precision | LayerPrecisions:
    """The precision that numbers, a text or a file stand for."""
    if isinstance(given, Path) or (isinstance(given, str) and _is_path(given)):
        return _read_layers(Path(given))
    if isinstance(given, Sequence) and not isinstance(given, str) and any(not isinstance(one, int) for one in given):
        return tuple(map(as_precision, given))
    return as_precision(given)


def _is_path(text: str) -> bool:
    """True unless a text is made of numbers and commas, as a precision is."""
    return not all(part.strip().lstrip("-").isdecimal() for part in text.split(",")) and Path(text).suffix != ""


def _read_layers(path: Path) -> LayerPrecisions:
    """The precision of each layer from a JSON or YAML file: a list, or what `anda search --per-layer --json` writes."""
    where = f"precision {path.name}"
    document = read_yaml(path, where)
    for key in ("per_layer", "layers"):
        if isinstance(document, Mapping):
            document = document.get(key, document)
    if not isinstance(document, list) or not document:
        raise InputError(f"{where}: holds no list of layers; {FIX}")
    return tuple(_layer(where, number, entry) for number, entry in enumerate(document))


def _layer(where: str, number: int, entry: Any) -> Precision:
    try:
        if isinstance(entry, Mapping):
            return Precision(**entry)
        return as_precision(entry)
    except (InputError, TypeError) as error:
        reason = str(error).removeprefix("precision: ") if isinstance(error, InputError) else "is no precision"
        raise InputError(f"{where}: layer {number}: {reason}; {FIX}") from None

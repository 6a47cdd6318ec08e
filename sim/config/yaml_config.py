"""YAML files read into checked objects; an error names the file, the field and the fix in one line."""

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from ...formats import InputError
from ...formats.checks import did_you_mean
from ...formats.documents.border import border
from ...formats.documents.schema import Model, check
from ...formats.documents.yaml_file import LARGEST_INTEGER, read_yaml

BYTE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
BIT_UNITS = {"bit": 1}
FREQUENCY_UNITS = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}
MOST_DIGITS = 40

_QUANTITY = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", re.ASCII)


def load_config(model: type[Model], path: Path, kind: str) -> Model:
    """Read and check one YAML file.

    Raises
    ------
    InputError
        The file is not readable, not YAML, or does not fit `model`.
    """
    where = f"{kind} {path.name}"
    return check(model, read_yaml(path, where), where)


@cache
def config_names(folder: Path) -> tuple[str, ...]:
    """Names of the YAML files in a folder of this package."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def find_config(name: str | Path, folder: Path, kind: str) -> Path:
    """The file of a built-in name, or the given path if it ends in .yaml or .yml.

    Raises
    ------
    InputError
        There is none; the message lists the built-in names.
    """
    names = config_names(folder)
    if str(name) in names:
        return folder / f"{name}.yaml"
    path = own_file(name, kind, f" or one of {_list(names)}")
    if path is None:
        raise InputError(
            f"{kind}: {str(name)!r} is unknown; choose one of {_list(names)} or give a path to a YAML file"
            f"{did_you_mean(str(name), names)}"
        )
    return path


def own_file(name: str | Path, kind: str, others: str = "") -> Path | None:
    """The given path if it ends in .yaml or .yml; None for another name.

    Raises
    ------
    InputError
        There is no such file.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        return None
    with border(f"{kind}: {str(name)[:80]!r} is no file", "give a readable YAML file"):
        if path.is_file():
            return path
    raise InputError(f"{kind}: there is no file {str(name)!r}; give a readable YAML file{others}")


def read_extended(path: Path, folder: Path, kind: str, whole: tuple[str, ...] = ()) -> Any:
    """Data of a YAML file and of its ``base``, if it names one: a built-in name, or a file that may have a base, too.

    Keys that both have are merged; values, lists, constants (that is, mappings with a ``value``) and the keys of `whole`
    replace those of the base. Name and title follow from the file where it gives none.

    Raises
    ------
    InputError
        A file is not readable, or a file is its own base.
    """
    chain: list[tuple[Path, dict[str, Any]]] = []
    while True:
        where = f"{kind} {path.name}"
        data: Any = read_yaml(path, where)
        if not isinstance(data, dict):
            return data
        chain.append((path, data))
        if "base" not in data:
            break
        path = find_config(str(data.pop("base")), folder, f"{where}: base")
        if any(path.samefile(earlier) for earlier, _ in chain):
            raise InputError(f"{where}: base: {path.name} is its own base; name another file")
    merged = chain.pop()[1]
    while chain:
        path, data = chain.pop()
        own = {"name": path.stem, "title": f"{merged.get('title', '')}, changed by {path.name}"}
        merged = _merged(merged, {**own, **data}, whole)
    return merged


def _merged(base: dict[str, Any], data: dict[str, Any], whole: tuple[str, ...]) -> dict[str, Any]:
    return {
        **base,
        **{key: value if key in whole else _merged_value(base.get(key), value) for key, value in data.items()},
    }


def _merged_value(old: Any, new: Any) -> Any:
    both = isinstance(old, dict) and isinstance(new, dict)
    return _merged(old, new, ()) if both and "value" not in old and "value" not in new else new


def quantity(units: dict[str, int], example: str) -> Callable[[Any], int]:
    """A validator that reads texts such as ``"285 MHz"`` into whole base units and refuses bare numbers."""

    def parse(value: Any) -> int:
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{value!r} has no unit; write a number and a unit, such as '{example}'")
        number, unit = match.groups()
        if unit not in units:
            meant = [name for name in units if unit.lower() in (name.lower(), name.lower().replace("i", ""))]
            hint = f"write {meant[0]}, or another of" if meant else "use"
            raise ValueError(f"the unit {unit!r} is unknown; {hint} {_list(units)}")
        base = Fraction(number) * units[unit] if len(number) < MOST_DIGITS else LARGEST_INTEGER + 1
        if not 0 < base <= LARGEST_INTEGER or base.denominator != 1:
            unit = next(iter(units))
            raise ValueError(f"{value!r} is not a positive whole number of {unit} up to 2^63 - 1; write '{example}'")
        return int(base)

    return parse


Bytes = Annotated[int, BeforeValidator(quantity(BYTE_UNITS, "1 MiB"))]
Bits = Annotated[int, BeforeValidator(quantity(BIT_UNITS, "1024 bit"))]
Hertz = Annotated[int, BeforeValidator(quantity(FREQUENCY_UNITS, "285 MHz"))]


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)

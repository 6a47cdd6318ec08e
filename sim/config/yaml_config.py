"""YAML files read into checked objects; an error names the file, the field and the fix in one line."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from ...formats import InputError

Model = TypeVar("Model", bound="Config")

BYTE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
BIT_UNITS = {"bit": 1}
FREQUENCY_UNITS = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}

_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


class Config(BaseModel):
    """A frozen object read from YAML; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=True)


def load_config(model: type[Model], path: Path, kind: str) -> Model:
    """Read and check one YAML file.

    Raises
    ------
    InputError
        The file is not readable, not YAML, or does not fit `model`.
    """
    where = f"{kind} {path.name}"
    return check(model, read_yaml(path, where), where)


class _UniqueKeys(yaml.SafeLoader):
    """Refuses duplicate keys, of which the standard loader silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise yaml.YAMLError(f"the key {name!r} is given twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, where: str) -> Any:
    """Plain data of a YAML file; errors begin with `where`."""
    try:
        return yaml.load(path.read_text("utf-8"), _UniqueKeys)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: cannot be read ({_first_line(error)}); give a readable YAML file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: is not YAML ({_first_line(error)}); fix the syntax") from None


def check(model: type[Model], data: Any, where: str) -> Model:
    """Build `model` from plain data; the first error is raised as an `InputError` that begins with `where`."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: holds no keys; give {', '.join(_keys(model))}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(model, error)}") from None


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
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise InputError(f"{kind}: there is no file {str(name)!r}; give a readable YAML file or one of {_list(names)}")
    raise InputError(f"{kind}: {str(name)!r} is unknown; choose one of {_list(names)} or give a path to a YAML file")


def quantity(units: dict[str, int], example: str) -> Callable[[Any], int]:
    """A validator that reads texts such as ``"285 MHz"`` into whole base units and refuses bare numbers."""

    def parse(value: Any) -> int:
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{value!r} has no unit; write a number and a unit, such as '{example}'")
        number, unit = match.groups()
        if unit not in units:
            raise ValueError(f"the unit {unit!r} is unknown; use {_list(units)}")
        base = float(number) * units[unit]
        if base <= 0 or base != int(base):
            raise ValueError(f"{value!r} is not a positive whole number of {next(iter(units))}; write '{example}'")
        return int(base)

    return parse


Bytes = Annotated[int, BeforeValidator(quantity(BYTE_UNITS, "1 MiB"))]
Bits = Annotated[int, BeforeValidator(quantity(BIT_UNITS, "1024 bit"))]
Hertz = Annotated[int, BeforeValidator(quantity(FREQUENCY_UNITS, "285 MHz"))]


def _explain(model: type[Config], error: ValidationError) -> str:
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])  # a misspelt key is missing too
    path, kind = first["loc"], first["type"]
    field = ".".join(map(str, path))
    if kind == "extra_forbidden":
        return f"{field}: is not a key here; the keys are {', '.join(_keys(_at(model, path[:-1])))}"
    if kind == "missing":
        return f"{field}: is missing; add it"
    message = str(first["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        return f"{field}: {message}" if field else message
    return f"{field}: is {first['input']!r}; {message[0].lower()}{message[1:]}"


def _at(model: type[Config], path: Iterable[int | str]) -> type[Config]:
    """The nested model at a path of keys."""
    for key in path:
        field = next((f for name, f in model.model_fields.items() if key in (name, f.alias)), None)
        nested = _models(field.annotation) if field is not None else []
        if nested:
            model = nested[0]
    return model


def _models(annotation: Any) -> list[type[Config]]:
    """The config classes that an annotation names, such as ``Compressor | None`` or ``dict[str, Constant]``."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _keys(model: type[Config]) -> list[str]:
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _first_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "problem", None) or str(error)
    return str(text).splitlines()[0]

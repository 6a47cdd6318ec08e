"""Model shapes as YAML files: read, written, and their JSON schema."""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import MISSING, asdict, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ...formats import InputError
from ...formats.documents.border import border
from ...formats.documents.yaml_file import read_yaml
from .shapes import Experts, ModelShape, differences

_SHAPES = TypeAdapter(ModelShape)
MOST_SHOWN = 80
"""Most characters of a wrong value that a message shows."""


def read_shape(path: Path) -> ModelShape:
    """Read a model from a YAML file, such as `shape_yaml` writes.

    Raises
    ------
    InputError
        The file is not readable or not YAML, a field is unknown, missing or out of its range, or two contradict.
    """
    where = f"model {path.name}"
    return shape_of(read_yaml(path, where), where)


def shape_of(data: Any, where: str) -> ModelShape:
    """A model from plain data; `InputError`, which begins with `where`, if they are none."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: holds no fields; give {', '.join(_required())}")
    with border(where, "write plain numbers and texts"):
        text = json.dumps(data)
    try:
        return _SHAPES.validate_json(text)
    except ValidationError as error:
        raise InputError(f"{where}: {_reason(error)}") from None


@lru_cache(maxsize=64)
def shape_yaml(shape: ModelShape) -> str:
    """A model as YAML that `read_shape` reads; fields at their defaults are left out."""
    stated = differences(shape)
    if shape.experts is not None:
        stated["experts"] = {name: value for name, value in asdict(shape.experts).items() if value}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in stated.items()}
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=1000, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Lists in one line."""


def _one_line(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _one_line)


def shape_schema() -> str:
    """The JSON schema of model files, for editors."""
    schema = _SHAPES.json_schema()
    for part, described in ((schema, ModelShape), (schema["$defs"]["Experts"], Experts)):
        for name, text in _descriptions(described).items():
            part["properties"][name]["description"] = text
    return json.dumps(schema, indent=2)


def _descriptions(described: type) -> dict[str, str]:
    """The docstrings of a class's fields, by name."""
    [definition] = ast.parse(inspect.getsource(described)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _reason(error: ValidationError) -> str:
    """The first error in one line; a field that does not exist comes first, since a misspelt one is missing too."""
    found = error.errors(include_url=False)
    first = next((e for e in found if e["type"] == "unexpected_keyword_argument"), found[0])
    field, kind, message = ".".join(map(str, first["loc"])), first["type"], str(first["msg"])
    if kind == "unexpected_keyword_argument":
        owner = Experts if field.startswith("experts.") else ModelShape
        return f"{field}: is not a field here; the fields are {', '.join(sorted(f.name for f in fields(owner)))}"
    if kind in ("missing", "missing_argument"):
        return f"{field}: is missing; add it"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"{field}: is {repr(first['input'])[:MOST_SHOWN]}; {message[0].lower()}{message[1:]}"


def _required() -> list[str]:
    return [field.name for field in fields(ModelShape) if field.default is MISSING]

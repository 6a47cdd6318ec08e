"""Documents checked once, as a whole, by a pydantic model; an error names the field and the fix in one line."""

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ..errors import InputError

MOST_CHARACTERS = 200
"""Longest value that an error repeats."""


class Document(BaseModel):
    """A frozen object with strict types: a boolean is no number, a text no integer, and numbers are finite."""

    model_config = ConfigDict(strict=True, frozen=True, populate_by_name=True, allow_inf_nan=False)


def _integer(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


INTEGER = BeforeValidator(_integer)
"""For choices of integers, among which pydantic counts True and 1.0."""

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\t\r\n]*$")]
"""A name, in one line."""


class Config(Document):
    """A document that users write; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


Model = TypeVar("Model", bound=Document)


def check(model: type[Model], data: Any, where: str) -> Model:
    """Build `model` from plain data; the first error is raised as an `InputError` that begins with `where`."""
    try:
        return parse(model, data)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def parse(model: type[Model], data: Any) -> Model:
    """Build `model` from plain data; `ValueError` with the first error."""
    if not isinstance(data, dict):
        raise ValueError(f"holds no keys; give {', '.join(_keys(model))}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ValueError(_explain(model, error)) from None


def _explain(model: type[Document], error: ValidationError) -> str:
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
    value = repr(first["input"])
    shown = value if len(value) <= MOST_CHARACTERS else f"{value[:MOST_CHARACTERS]}…"
    return f"{field}: is {shown}; {message[0].lower()}{message[1:]}"


def _at(model: type[Document], path: Iterable[int | str]) -> type[Document]:
    """The nested model at a path of keys."""
    for key in path:
        field = next((f for name, f in model.model_fields.items() if key in (name, f.alias)), None)
        nested = _models(field.annotation) if field is not None else []
        if nested:
            model = nested[0]
    return model


def _models(annotation: Any) -> list[type[Document]]:
    """The documents that an annotation names, such as ``Compressor | None`` or ``dict[str, Constant]``."""
    if isinstance(annotation, type) and issubclass(annotation, Document):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _keys(model: type[Document]) -> list[str]:
    return sorted(field.alias or name for name, field in model.model_fields.items())

"""Arrays of processing elements: shape, dataflow, and how many of them share the buffers."""

import re
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...formats.documents.schema import Config

DataflowName = Literal["output-stationary", "weight-stationary", "input-stationary"]
"""Dataflows, named after the numbers that the elements hold while the others stream past."""

Split = Literal["tokens", "output-channels"]
"""Axis of a GeMM over which several arrays share the work."""

SHAPE = re.compile(r"(\d{1,4})x(\d{1,4})(?:/(\d{1,4})x(\d{1,4}))?", re.ASCII)
PHASES = ("prefill", "decode")


class Array(Config):
    """Arrays of one shape, which share the buffers.

    In YAML a shape may be written ``16x16``. A machine that is reshaped between the phases of an inference states both:
    ``{prefill: 16x16, decode: 1x256}``, where fields beside them hold in both phases unless it states its own, or ``16x16/1x256``.
    """

    rows: int = Field(ge=1, le=1024)
    columns: int = Field(ge=1, le=1024)
    dataflow: DataflowName = "output-stationary"
    count: int = Field(default=1, ge=1, le=64)
    """Arrays that work on one GeMM together."""
    split: Split = "output-channels"
    """Axis that several arrays share: each takes its own part of it, and all the same of the other operand."""
    decode: "Array | None" = None
    """The array in decode, if it is reshaped."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return array_fields(data)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.decode is None:
            return self
        if self.decode.decode is not None:
            raise ValueError("decode: has a decode of its own; give one array for each phase")
        if self.decode.elements != self.elements:
            raise ValueError(
                f"decode: {self.decode.shape} has {self.decode.elements} elements and {self.rows}x{self.columns} has {self.elements}; the "
                "elements are the same ones in both phases, so use as many"
            )
        return self

    @property
    def shape(self) -> str:
        """Rows and columns as a text; those in decode after a slash, if they differ."""
        own = f"{self.rows}x{self.columns}"
        return own if self.decode is None else f"{own}/{self.decode.shape}"

    @property
    def elements(self) -> int:
        """Elements of all arrays."""
        return self.rows * self.columns * self.count

    @property
    def token_arrays(self) -> int:
        """Arrays with tokens of their own."""
        return self.count if self.split == "tokens" else 1

    @property
    def channel_arrays(self) -> int:
        """Arrays with output channels of their own."""
        return self.count if self.split == "output-channels" else 1

    @property
    def shapes(self) -> "tuple[Array, ...]":
        """The array in each phase; one if it is not reshaped."""
        return (self,) if self.decode is None else (self, self.decode)

    def in_phase(self, phase: str) -> "Array":
        """The array in ``prefill`` or ``decode``, which is not reshaped any more."""
        if self.decode is None:
            return self
        return self.decode if phase == "decode" else self.model_copy(update={"decode": None})


def array_fields(data: Any) -> Any:
    """The fields of an array from the ways of writing it: keys, a shape such as ``16x16``, or one array for each phase."""
    if data is None or isinstance(data, (list, int, float)):
        raise ValueError(f"{data!r} is no array; write a shape, such as 16x16, or rows and columns")
    if isinstance(data, str):
        if (found := SHAPE.fullmatch(data)) is None:
            raise ValueError(
                f"{data!r} is no shape; write rows and columns, such as 16x16, or 16x16/1x256 with that in decode"
            )
        rows, columns, *decode = (int(size) for size in found.groups() if size is not None)
        shape = {"rows": rows, "columns": columns}
        return shape | {"decode": {"rows": decode[0], "columns": decode[1]}} if decode else shape
    if not isinstance(data, dict) or data.get("decode") is None:
        if isinstance(data, dict) and "prefill" in data:
            raise ValueError("prefill: stands without decode; give both, or rows and columns alone")
        return data
    common = {key: value for key, value in data.items() if key not in PHASES}
    prefill, decode = (_phase(phase, common, data.get(phase, {})) for phase in PHASES)
    return {**prefill, "decode": decode}


def reshaped(array: Any, shape: str) -> Any:
    """The fields of an array with the shape or shapes of a text in place of its own.

    Raises
    ------
    ValueError
        The text is no shape.
    """
    fields = array_fields(array)
    kept = {key: value for key, value in fields.items() if key not in ("rows", "columns", "decode")}
    new = array_fields(shape)
    return {**kept, **new, **({"decode": {**kept, **new["decode"]}} if "decode" in new else {})}


def _phase(phase: str, common: dict[str, Any], array: Any) -> dict[str, Any]:
    """The fields of a phase's array in place of those of both phases."""
    fields = array_fields(array.model_dump() if isinstance(array, Array) else array)
    if not isinstance(fields, dict):
        raise ValueError(f"{phase}: is {fields!r}; write a shape, such as 1x256, or rows and columns")
    return {**common, **{key: value for key, value in fields.items() if (key, value) != ("decode", None)}}

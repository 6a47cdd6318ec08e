"""Interface of a circuit: its streams and signals with their ports, packed fields, and what the docstring says of them."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Flow

from ..interfaces import FP16
from ..simulation.ports import CircuitPort

MAX_SHOWN_ELEMENTS = 4
"""Elements of an array that a field map names one by one."""


@dataclass(frozen=True)
class PackedField:
    """Field of a packed payload.

    Attributes
    ----------
    name : `str`
        Name, with the names of the fields around it: ``group.valid``.
    offset, width : `int`
        Lowest bit, and number of bits.
    is_signed : `bool`
        True for two's complement.
    count : `int`
        Number of equal elements side by side, element 0 in the lowest bits; 1 for a single value.
    is_fp16 : `bool`
        True for FP16 numbers.
    """

    name: str
    offset: int
    width: int
    is_signed: bool
    count: int = 1
    is_fp16: bool = False

    @property
    def bits(self) -> str:
        """Position as Verilog writes it, such as ``[13:0]``."""
        return f"[{self.offset + self.width - 1}:{self.offset}]"

    @property
    def text(self) -> str:
        """Name and kind in words, such as ``partial_sum (signed)``."""
        notes = (
            ["signed"] * self.is_signed
            + ["FP16"] * self.is_fp16
            + [f"{self.count} of {self.width // self.count} bits"] * (self.count > 1)
        )
        return f"{self.name} ({', '.join(notes)})" if notes else self.name


@dataclass(frozen=True)
class PortGroup:
    """A stream or a single signal of a circuit.

    Attributes
    ----------
    name : `str`
        Name of the member of the component.
    is_input, is_stream : `bool`
        Direction of the payload, and True for payload, valid and ready.
    ports : tuple
        Ports in the order of the module: payload, valid, ready.
    fields : tuple
        Packed fields of the payload; empty for a plain number.
    about : `str`
        Description from the docstring.
    """

    name: str
    is_input: bool
    is_stream: bool
    ports: tuple[CircuitPort, ...]
    fields: tuple[PackedField, ...]
    about: str

    @property
    def payload(self) -> CircuitPort | None:
        """The port with data; None for a stream of bare events."""
        return next((port for port in self.ports if port.name.split("__")[-1] not in ("valid", "ready")), None)


def interface(design: wiring.Component) -> list[PortGroup]:
    """Streams and signals of a circuit in the order of its signature, without clock and reset."""
    about = _members(design)
    return [
        group
        for name, member in design.signature.members.items()
        if (group := _group(name, member, getattr(design, name), about.get(name, ""))).ports
    ]


def _group(name: str, member: Any, value: Any, about: str) -> PortGroup:
    is_input = member.flow == Flow.In
    if member.is_port:
        signal = Value.cast(value)
        own = (CircuitPort(name, len(signal), is_input),) if isinstance(signal, Signal) else ()
        return PortGroup(name, is_input, False, own, tuple(_fields(member.shape)), about)
    found: list[CircuitPort] = []
    for path, inner, signal in member.signature.flatten(value):
        signal = Value.cast(signal)
        if isinstance(signal, Signal) and len(signal):
            found.append(CircuitPort("__".join([name, *map(str, path)]), len(signal), inner.flow == Flow.In))
    is_stream = isinstance(member.signature, stream.Signature)
    fields = tuple(_fields(member.signature.members["payload"].shape)) if is_stream else ()
    return PortGroup(name, is_input, is_stream, tuple(found), fields, about)


def _fields(shape: Any, name: str = "", offset: int = 0) -> Iterator[PackedField]:
    """Fields of a layout; a plain number has none."""
    if isinstance(shape, data.StructLayout) and shape != FP16:
        for key, field in shape:
            inner = f"{name}.{key}" if name else str(key)
            nested = list(_fields(field.shape, inner, offset + field.offset))
            yield from nested or [_field(field.shape, inner, offset + field.offset)]
    elif isinstance(shape, data.ArrayLayout) and shape.length:
        name = name or "elements"
        nested = list(_fields(shape.elem_shape, f"{name}[0]", offset))
        if nested and shape.length <= MAX_SHOWN_ELEMENTS:
            width = Shape.cast(shape.elem_shape).width
            for index in range(shape.length):
                yield from _fields(shape.elem_shape, f"{name}[{index}]", offset + index * width)
        else:
            yield _field(shape, name, offset)


def _field(shape: Any, name: str, offset: int) -> PackedField:
    whole = Shape.cast(shape)
    if isinstance(shape, data.ArrayLayout):
        element = Shape.cast(shape.elem_shape)
        return PackedField(name, offset, whole.width, element.signed, shape.length, shape.elem_shape == FP16)
    return PackedField(name, offset, whole.width, whole.signed, is_fp16=shape == FP16)


def summary(design: wiring.Component) -> str:
    """First paragraph of a circuit's docstring, as plain text."""
    return plain(inspect.getdoc(type(design)) or "").split("\n\n")[0]


def description(design: wiring.Component) -> str:
    """A circuit's docstring before its sections, as plain text: what it does, its timing, its registers."""
    return re.split(r"^\w+\n-{3,}$", plain(inspect.getdoc(type(design)) or ""), maxsplit=1, flags=re.MULTILINE)[
        0
    ].strip()


def plain(text: str) -> str:
    """Text without the quotes of reStructuredText."""
    return text.replace("``", "").replace("`", "")


def _members(design: wiring.Component) -> dict[str, str]:
    """Descriptions of the members of a component, from the section ``Members`` of its docstring."""
    text = inspect.getdoc(type(design)) or ""
    section = re.search(r"^Members\n-+\n(.*?)(?=^\w+\n-{3,}|\Z)", text, re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (section[1] if section else "").splitlines():
        if line and not line[0].isspace():
            names = re.split(r",\s*", line.split(" : ")[0])
        elif line.strip() and not re.match(r"\s+`+(In|Out)\(", line):
            for name in names:
                found[name] = f"{found.get(name, '')} {plain(line.strip())}".strip()
    return found

"""SystemVerilog package of a circuit: a packed struct for each payload that has fields."""

import textwrap
from collections.abc import Iterator

from amaranth.lib import wiring

from .interface import PackedField, PortGroup, interface


def package(design: wiring.Component, top: str) -> str:
    """Package ``{top}_pkg``. Its structs are assigned to the ports, which are plain vectors in all tools, and from them."""
    body = "\n".join(line for group in interface(design) if group.fields for line in _struct(group))
    return f"package {top}_pkg;\n{body}\nendpackage\n"


def _struct(group: PortGroup) -> Iterator[str]:
    payload = group.payload
    assert payload is not None
    yield textwrap.indent(textwrap.fill(f"{payload.name}. {group.about}", 110), "  // ")
    if len(group.fields) == 1 and group.fields[0].name == "elements":
        yield f"  typedef {_type(group.fields[0])} {group.name}_t;"
        return
    yield "  typedef struct packed {"
    end = payload.width
    for field in reversed(group.fields):  # the first member of a packed struct has the highest bits
        if gap := end - field.offset - field.width:
            yield f"    logic [{gap - 1}:0] unused_{field.offset + field.width};"
        name = field.name.replace("[", "_").replace("]", "").replace(".", "_")
        yield f"    {_type(field)} {name};  // {field.bits}"
        end = field.offset
    yield f"  }} {group.name}_t;"


def _type(field: PackedField) -> str:
    sign = "signed " * field.is_signed
    if field.count > 1:
        return f"logic [{field.count - 1}:0][{field.width // field.count - 1}:0]"
    return f"logic {sign}[{field.width - 1}:0]"

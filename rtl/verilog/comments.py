"""Verilog text for readers: comments from docstrings, and ports in the order of the streams."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from amaranth.lib import wiring

from .interface import PortGroup, interface, summary

_MODULE = re.compile(r"^module (\\\S+ |\w+)\((.*?)\);\n(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
_PORT = re.compile(
    r"^  (?:input|output) (?:signed )?(?:\[.*?\] )?(\\\S+ |\w+);\n(?:  (?:wire|reg) .*?\1\b.*?;\n)?", re.MULTILINE
)


def readable(text: str, components: Mapping[str, wiring.Component]) -> str:
    """Verilog with a comment before each module and stream, and ports stream by stream: payload, valid, ready.

    Parameters
    ----------
    text : `str`
        Verilog as Yosys writes it.
    components : mapping
        The component of each module.
    """

    def module(found: re.Match[str]) -> str:
        name = found[1].strip().removeprefix("\\")
        design = components.get(name)
        return found[0] if design is None else _commented(found, design)

    return _MODULE.sub(module, text)


def _commented(found: re.Match[str], design: wiring.Component) -> str:
    name, body = found[1], found[3]
    found_ports = [(port[1].removeprefix("\\").strip(), port) for port in _PORT.finditer(body)]
    declared = {port: text[0] for port, text in found_ports}
    escaped = {port: text[1] for port, text in found_ports}
    body = _PORT.sub("", body)
    groups = interface(design)
    order = [port for port in ("clk", "rst") if port in declared]
    lines = [declared[port] for port in order]
    for group in groups:
        ports = [port.name for port in group.ports if port.name in declared and port.name not in order]
        if ports:
            order += ports
            lines += [*_group_comment(group), *(declared[port] for port in ports)]
    rest = [port for port in declared if port not in order]  # ports of a part that Amaranth passes to its inner parts
    lines += [declared[port] for port in rest]
    names = (escaped[port].replace(" ", "\0") for port in [*order, *rest])  # the space ends an escaped name
    header = textwrap.fill(", ".join(names), 110, subsequent_indent="  ").replace("\0", " ")
    return f"{_comment(summary(design))}module {name}({header});\n{''.join(lines)}\n{body}endmodule\n"


def _group_comment(group: PortGroup) -> Iterator[str]:
    kind = ("in" if group.is_input else "out") + (", stream" if group.is_stream else "")
    yield "\n" + _comment(f"{group.name} ({kind}). {group.about}".strip(), "  ")
    for field in group.fields:
        yield f"  //   {field.bits:>12}  {field.text}\n"


def _comment(text: str, indent: str = "") -> str:
    return textwrap.indent(textwrap.fill(text, 110 - len(indent)), f"{indent}// ") + "\n" if text else ""


def banner(title: str, facts: Sequence[str]) -> str:
    """Comment at the head of a file."""
    return "".join(f"// {line}\n" for line in (title, *facts)) + "\n"

"""Page of a circuit: what it does, its ports with widths and packed fields, its timing, and its instructions."""

import json
from collections.abc import Iterator

from amaranth.lib import wiring

from ...formats.accelerator.instructions import FIELDS, OPCODE_BITS, RULES
from ..accelerator.axi import AxiAccelerator
from ..accelerator.top import Accelerator
from .interface import PortGroup, description, interface


def design_page(name: str, design: wiring.Component) -> str:
    """The page as Markdown; the timing diagram is a WaveDrom block, which shows a transfer of each stream."""
    groups = interface(design)
    parts = [f"# {name}", description(design), "## Ports", _ports(groups), *_fields(groups)]
    if streams := [group for group in groups if group.is_stream]:
        parts += ["## Streams", _HANDSHAKE, f"```wavedrom\n{_diagram(streams)}\n```"]
    if isinstance(design, Accelerator | AxiAccelerator):
        parts += ["## Instructions", _instructions()]
    return "\n\n".join(parts) + "\n"


def _instructions() -> str:
    """Instruction map: bits, legal values and meaning of each field."""
    rows = ["| instruction | bits | field | legal | meaning |", "|---|---|---|---|---|"]
    for opcode, fields in FIELDS.items():
        rows.append(f"| `{opcode.name.lower()}` | [{OPCODE_BITS - 1}:0] | opcode | {opcode.value} | |")
        place = OPCODE_BITS
        for field in fields:
            rows.append(f"| | [{place + field.bits - 1}:{place}] | `{field.name}` | {field.legal} | {field.meaning} |")
            place += field.bits
        rows += [f"| | | | {rule.text(opcode)} | |" for rule in RULES.get(opcode, ())]
    return "\n".join(rows)


_HANDSHAKE = (
    "A payload moves in each cycle in which valid and ready are both high. A producer that has raised valid holds it "
    "and the payload until the payload has moved. Reset is synchronous."
)


def _ports(groups: list[PortGroup]) -> str:
    rows = ["| port | direction | bits | meaning |", "|---|---|---:|---|"]
    for group in groups:
        about = group.about or ("a stream" if group.is_stream else "")
        for port in group.ports:
            rows.append(f"| `{port.name}` | {'in' if port.is_input else 'out'} | {port.width} | {about} |")
            about = ""
    return "\n".join(rows)


def _fields(groups: list[PortGroup]) -> Iterator[str]:
    packed = [group for group in groups if group.fields and group.payload is not None]
    if packed:
        yield "## Packed payloads"
    for group in packed:
        assert group.payload is not None
        rows = [f"`{group.payload.name}`", "", "| bits | field |", "|---|---|"]
        rows += [f"| {field.bits} | {field.text} |" for field in group.fields]
        yield "\n".join(rows)


def _diagram(streams: list[PortGroup]) -> str:
    """Two transfers of each stream: one at once, one after a cycle in which ready is low."""
    signals: list[dict[str, str] | list[object] | dict[str, object]] = [{"name": "clk", "wave": "p....."}]
    for group in streams:
        waves: list[object] = [group.name]
        for port in group.ports:
            kind = port.name.split("__")[-1]
            wave = {"valid": "01.1.0", "ready": "0101.0"}.get(kind)
            waves.append(
                {"name": port.name, "wave": wave}
                if wave
                else {"name": port.name, "wave": "x3.4.x", "data": ["first", "second"]}
            )
        signals.append(waves)
    return json.dumps({"signal": signals})

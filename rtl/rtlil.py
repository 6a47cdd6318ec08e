"""RTLIL of circuits, the netlist format of Yosys, with each repeated circuit written once.

Amaranth writes one module for each instance: an array of 256 equal elements becomes 256 modules. With `place`, a
`Library` writes the element once and instantiates it. Without a library, in Amaranth's own simulator, `place` makes a
plain submodule.
"""

import gc
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Fragment, Instance, Module, ResetSignal, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Flow

from .memories import is_plain_ram, ram_instance


class Library:
    """Repeated elements of a design, passed through elaboration as Amaranth's `platform`.

    Attributes
    ----------
    modules : `dict` of name to `str`
        RTLIL of each element.
    components : `dict` of name to `wiring.Component`
        The component that each module was made of, also of the modules within others, such as ``accelerator.loader``.
    """

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.components: dict[str, wiring.Component] = {}

    def write(self, component: wiring.Component, name: str) -> str:
        """RTLIL of a component as the module `name`, with the modules within it; remembers their components."""
        ports: dict[str, tuple[Value, PortDirection]] = {}
        for path, member, value in component.signature.flatten(component):
            direction = PortDirection.Input if member.flow == Flow.In else PortDirection.Output
            ports["__".join(map(str, path))] = Value.cast(value), direction
        fragment = Fragment.get(component, self)
        self.components |= _components(fragment, name)
        return rtlil.convert(fragment, name=name, platform=self, ports=ports, emit_src=False)

    def instance(self, key: str, component: wiring.Component) -> Instance:
        """Instance of the module `key`, which is written when it is placed for the first time."""
        if key not in self.modules:
            self.modules[key] = ""  # reserve the name before elements within this one are written
            self.modules[key] = self.write(component, key)
        ports: dict[str, Value] = {}
        for path, member, value in component.signature.flatten(component):
            direction = "i" if member.flow == Flow.In else "o"
            ports[f"{direction}_{'__'.join(map(str, path))}"] = Value.cast(value)
        if re.search(r"\bclk\b", self.modules[key]):
            ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        return Instance(key, **ports)

    def get_memory(self, memory: Memory) -> Any:
        """Instance of a RAM, which Amaranth asks for; other memories are written as Amaranth does."""
        if not is_plain_ram(memory):
            return memory.elaborate(None)
        name, text, instance = ram_instance(memory)
        self.modules.setdefault(name, text)
        return instance


def place(m: Module, name: str, key: str, component: wiring.Component, platform: object) -> None:
    """Add `component` to `m` as the submodule `name`. Components with equal keys must be equal circuits."""
    if isinstance(platform, Library):
        m.submodules[name] = platform.instance(key, component)
    else:
        m.submodules[name] = component


def _components(fragment: Fragment, name: str) -> dict[str, wiring.Component]:
    """Components of a fragment and of those within it, by the names of their modules."""
    origins = [origin for origin in fragment.origins or () if isinstance(origin, wiring.Component)]
    found = {name: origins[-1]} if origins else {}
    for inner, inner_name, _ in fragment.subfragments:
        if inner_name is not None:
            found |= _components(inner, f"{name}.{inner_name}")
    return found


def to_rtlil(design: wiring.Component, name: str, library: Library | None = None) -> dict[str, str]:
    """RTLIL of each module of a design: the repeated elements, then the top module `name`.

    `library` keeps the components of all modules for a caller who needs them.
    """
    library = library or Library()
    with _without_collector():
        top = library.write(design, name)
    return {key: with_plain_names(text) for key, text in {**library.modules, name: top}.items()}


@contextmanager
def _without_collector() -> Generator[None]:
    """No garbage collection: Amaranth makes millions of objects that stay, and the collector takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_ZERO_CONTENTS = re.compile(r"  cell \$meminit_v2 .*\n(?:    .*\n)*?    connect \\DATA \d+'0+\n(?:    .*\n)*?  end\n")


def without_zero_contents(text: str) -> str:
    """RTLIL without memory contents that are all zero: no circuit reads a row that it has not written."""
    return _ZERO_CONTENTS.sub("", text)


_TOKEN = re.compile(r"\\[^\s.\[]+")
"""A public name; the fields and elements of a wire come after it."""


def with_plain_names(text: str) -> str:
    """RTLIL whose names say what they are, without numbers that Amaranth adds.

    ``valid$3`` at a port of the submodule ``lane`` becomes ``lane__valid``; another repeated name, ``sum$3``, becomes
    ``sum_3``. A port without a name, ``port$61$0``, takes the name of the signal that it carries. A name
    that is taken gets an underscore at its end.
    """
    modules = [
        _Module(part) for part in re.split(r"^(?=module |attribute \\(?:top|generator))", text, flags=re.MULTILINE)
    ]
    ports = {module.name: module.port_names for module in modules}
    return "".join(module.renamed(ports) for module in modules)


class _Module:
    """The text of a module, and new names of its wires."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)
        header = re.search(r"^module (\S+)", text, re.MULTILINE)
        self.name = header[1] if header else ""
        self._taken = {name for name in _TOKEN.findall(text) if "$" not in name}
        numbered = re.findall(
            r"^  wire .*(?:input|output) \d+ +(?:signed +)?(\\[^\s.\[]*\$[^\s.\[]*)$", text, re.MULTILINE
        )
        self.port_names = {port: self._free(self._carried(text, port)) for port in numbered}

    def _carried(self, text: str, port: str) -> str:
        """Name for a numbered port: the signal that it carries, or ``signal_index`` for a part of one, counted from the lowest."""
        if not port.startswith("\\port$"):
            return port.replace("$", "_")
        driver = re.search(rf"^connect {re.escape(port)} (.*)$", text, re.MULTILINE)
        value = driver[1] if driver else port
        for signal, connected in re.findall(r"^connect (\\[^\s$]+) (.*)$", text, re.MULTILINE):
            parts = re.findall(r"\S+(?: \[[\d:]+\])?", connected.strip("{} "))
            for index, part in enumerate(reversed(parts)):
                if part == value or part.split(" ")[0] == value:
                    return str(signal) if len(parts) == 1 else f"{signal}_{index}"
        return port.replace("port$", "net_").replace("$", "_")

    def _free(self, wanted: str) -> str:
        wanted = re.sub(r"[.\[\]]+", "_", wanted).rstrip("_")
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def renamed(self, ports: Mapping[str, Mapping[str, str]]) -> str:
        """The text with new names; `ports` has those of each module's numbered ports."""
        names = dict(self.port_names)
        instance = ""
        for line in self._lines:
            if cell := re.match(r"  cell \\\S+ \\(\S+)", line):
                instance = cell[1].replace("$", "_")
            elif line.startswith("  end"):
                instance = ""
            elif (
                instance and (wire := re.match(r"    connect \\(\S+) (\\\1\$\d+)(?=\s)", line)) and wire[2] not in names
            ):
                names[wire[2]] = self._free(f"\\{instance}__{wire[1]}")
        kind, lines = "", list[str]()
        for line in self._lines:
            start = 0
            if cell := re.match(r"  cell (\S+) ", line):
                kind, start = cell[1], cell.end()
            elif port := re.match(r"    connect (\S+) ", line):
                name = ports.get(kind, {}).get(port[1], port[1])
                line, start = f"    connect {name} {line[port.end() :]}", len(f"    connect {name} ")
            elif line.lstrip().startswith("attribute"):
                start = len(line)
            for token in _TOKEN.findall(line[start:]):
                if "$" in token and token not in names:
                    names[token] = self._free(token.replace("$", "_"))
            lines.append(line[:start] + _TOKEN.sub(lambda token: names.get(token[0], token[0]), line[start:]))
        return "".join(lines)

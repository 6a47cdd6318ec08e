"""Turns circuits into RTLIL, the netlist that Yosys reads, with each repeated circuit written once.

Amaranth writes a module per instance, so that an array of 256 equal elements is 256 modules. A circuit that uses
`place` lets a `Library` write the element once and instantiate it; without a library, in Amaranth's own simulator,
`place` makes a plain submodule.
"""

import re

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow


class Library:
    """The elements of a design, passed through elaboration as Amaranth's `platform`.

    `modules` holds their text.
    """

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}

    def instance(self, key: str, component: wiring.Component) -> Instance:
        """An instance of the module `key`, which is written when it is first placed."""
        if key not in self.modules:
            self.modules[key] = ""  # taken, before elements within this one are written
            self.modules[key] = rtlil.convert(component, name=key, platform=self, emit_src=False)
        ports: dict[str, Value] = {}
        for path, member, value in component.signature.flatten(component):
            direction = "i" if member.flow == Flow.In else "o"
            ports[f"{direction}_{'__'.join(map(str, path))}"] = Value.cast(value)
        if re.search(r"\bclk\b", self.modules[key]):
            ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        return Instance(key, **ports)


def place(m: Module, name: str, key: str, component: wiring.Component, platform: object) -> None:
    """Make `component` the submodule `name` of `m`. Components with equal keys are equal circuits."""
    if isinstance(platform, Library):
        m.submodules[name] = platform.instance(key, component)
    else:
        m.submodules[name] = component


def to_rtlil(design: wiring.Component, name: str) -> dict[str, str]:
    """RTLIL of a design, by module: the repeated elements, then the top module `name`."""
    library = Library()
    top = rtlil.convert(design, name=name, platform=library, emit_src=False)
    return {**library.modules, name: top}

"""RTLIL of circuits, the netlist format of Yosys, with each repeated circuit written once.

Amaranth writes one module for each instance: an array of 256 equal elements becomes 256 modules. With `place`, a
`Library` writes the element once and instantiates it. Without a library, in Amaranth's own simulator, `place` makes a
plain submodule.
"""

import re

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow


class Library:
    """Repeated elements of a design, passed through elaboration as Amaranth's `platform`.

    Attributes
    ----------
    modules : `dict` of name to `str`
        RTLIL of each element.
    """

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}

    def instance(self, key: str, component: wiring.Component) -> Instance:
        """Instance of the module `key`, which is written when it is placed for the first time."""
        if key not in self.modules:
            self.modules[key] = ""  # reserve the name before elements within this one are written
            self.modules[key] = rtlil.convert(component, name=key, platform=self, emit_src=False)
        ports: dict[str, Value] = {}
        for path, member, value in component.signature.flatten(component):
            direction = "i" if member.flow == Flow.In else "o"
            ports[f"{direction}_{'__'.join(map(str, path))}"] = Value.cast(value)
        if re.search(r"\bclk\b", self.modules[key]):
            ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        return Instance(key, **ports)


def place(m: Module, name: str, key: str, component: wiring.Component, platform: object) -> None:
    """Add `component` to `m` as the submodule `name`. Components with equal keys must be equal circuits."""
    if isinstance(platform, Library):
        m.submodules[name] = platform.instance(key, component)
    else:
        m.submodules[name] = component


def to_rtlil(design: wiring.Component, name: str) -> dict[str, str]:
    """RTLIL of each module of a design: the repeated elements, then the top module `name`."""
    library = Library()
    top = rtlil.convert(design, name=name, platform=library, emit_src=False)
    return {**library.modules, name: top}

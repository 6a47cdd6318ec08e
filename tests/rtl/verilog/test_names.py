"""Names of every design: each signal has one, and the RTLIL that Verilog is made from shows none of Amaranth's numbers."""

import re
from collections.abc import Iterable

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from anda_codesign.rtl import create_design, design_names
from anda_codesign.rtl.rtlil import Library, to_rtlil, with_plain_names
from anda_codesign.rtl.verilog.emit import design_parameters

SMALL = {
    "accelerator": {
        "memory_bits": 256,
        "affine": True,
        "midpoint": True,
        "nearest": True,
        "skipping": True,
    },
    "matrix-engine": {"affine": True, "midpoint": True, "skipping": True},
    "matrix-unit": {"tree": "carry-save", "operand_isolation": True},
    "anda-pe-scaled": {"tree": "carry-save", "stages": 3, "adder_stages": 2},
    "fp-int-pe": {"stages": 4, "adder_stages": 2, "interleave": 2},
}
SIZES = {"rows": 2, "columns": 2, "lanes": 4, "outputs": 2}


@pytest.mark.parametrize("name", design_names())
def test_names_say_what_they_are(name: str) -> None:
    """Every signal has a name; none has a ``$`` or a Python literal. Amaranth's own ``$1``, of expressions, stay."""
    sizes = {size: value for size, value in SIZES.items() if size in design_parameters(name)}
    library = Library()
    design = create_design(name, **sizes, **SMALL.get(name, {}))
    top = rtlil.convert(design, name="top", platform=library, emit_src=False)
    assert [token for token in tokens([top, *library.modules.values()]) if token.startswith("\\$")] == []
    renamed = tokens(with_plain_names(text) for text in (*library.modules.values(), top))
    assert renamed
    assert [token for token in renamed if "$" in token or re.search("True|False|None", token)] == []


class Part(wiring.Component):
    """A circuit with a named stream, placed twice in `Whole`."""

    a: In(4)
    b: Out(4)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.b.eq(self.a + 1)
        return m


class Whole(wiring.Component):
    """Two parts in a chain, and a signal with the name that a wire between them would get."""

    x: In(4)
    y: Out(4)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.first = first = Part()
        m.submodules.second = second = Part()
        taken = Signal(4, name="second__a")
        m.d.sync += taken.eq(self.x)
        m.d.comb += [first.a.eq(taken), second.a.eq(first.b), self.y.eq(second.b)]
        return m


def test_wires_have_the_names_of_the_ports_at_their_ends() -> None:
    found = tokens(to_rtlil(Whole(), "whole").values())
    assert {"\\second__a", "\\first", "\\second", "\\x", "\\y"} <= found
    assert [token for token in found if "$" in token] == []
    assert len({token for token in found if token.startswith("\\second__a")}) == 2  # the signal, and the port's wire


def tokens(texts: Iterable[str]) -> set[str]:
    """Public names of RTLIL."""
    lines = (line for text in texts for line in text.splitlines() if "attribute" not in line)
    return {token for line in lines for token in re.findall(r"\\[^\s\[]+", line)}

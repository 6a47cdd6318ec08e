"""Files of a circuit for other engineers: Verilog or SystemVerilog, testbenches, timing constraints, and a page."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal, get_args

from amaranth.lib import wiring

from ...formats.checks import check_choice
from ..verilog.comments import banner
from ..verilog.emit import Memories, create_design, design_verilog
from ..verilog.page import design_page
from ..verilog.systemverilog import package
from .testbench import testbench_files
from .vectors import captured_vectors

Language = Literal["v", "sv"]
"""Verilog, or SystemVerilog with a package of structs."""

CLOCK_NS = 3.508
"""Clock period of the constraints, in ns: 285 MHz (Anda paper, section V-A)."""


def circuit_text(name: str, parameters: Mapping[str, Any], memories: Memories, language: Language) -> str:
    """Text of a circuit's file, with a head that says how it was made."""
    return _text(create_design(name, **parameters), name, parameters, memories, language)


def _text(
    design: wiring.Component, name: str, parameters: Mapping[str, Any], memories: Memories, language: Language
) -> str:
    check_choice("memories", memories, get_args(Memories))
    check_choice("language", language, get_args(Language))
    top = name.replace("-", "_")
    words = " ".join(f"--parameter {key}={value}" for key, value in parameters.items())
    facts = [f"written by anda_codesign {version('anda-codesign')}: anda rtl verilog {name} {words}".rstrip()]
    types = package(design, top) + "\n" if language == "sv" else ""
    return banner(name, facts) + types + design_verilog(design, top, memories)


def export_files(name: str, parameters: Mapping[str, Any], memories: Memories, language: Language) -> dict[str, str]:
    """Texts of all files of an export folder, by name; the circuit is the first."""
    design = create_design(name, **parameters)
    top = name.replace("-", "_")
    text = _text(design, name, parameters, memories, language)
    files = {f"{top}.{language}": text, f"{top}.sdc": _constraints(text), "README.md": design_page(name, design)}
    # black boxes have no behaviour: the macros' own models take their place in a simulation
    simulated = create_design(name, **parameters)
    vectors = None if memories == "blackbox" else captured_vectors(simulated)
    return files if vectors is None else files | testbench_files(top, language, simulated, vectors)


def _constraints(text: str) -> str:
    """Timing constraints of the clock; of a combinational circuit a virtual clock."""
    port = " [get_ports clk]" if "input clk;" in text else ""
    return "\n".join(
        [
            "# 285 MHz, the clock of the Anda paper; change it to yours.",
            f"create_clock -name clk -period {CLOCK_NS}{port}",
            f"set_input_delay {CLOCK_NS / 5:.3f} -clock clk [all_inputs -no_clocks]",
            f"set_output_delay {CLOCK_NS / 5:.3f} -clock clk [all_outputs]",
            "",
        ]
    )

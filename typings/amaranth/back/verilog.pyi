from typing import Any

from .._toolchain.yosys import YosysError as YosysError
from ..hdl import Elaboratable

def convert(
    elaboratable: Elaboratable,
    name: str = "top",
    platform: Any = None,
    *,
    emit_src: bool = True,
    strip_internal_attrs: bool = False,
) -> str: ...

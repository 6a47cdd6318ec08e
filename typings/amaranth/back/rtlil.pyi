from typing import Any

from ..hdl import Elaboratable

def convert(elaboratable: Elaboratable, name: str = "top", platform: Any = None, *, emit_src: bool = True) -> str: ...

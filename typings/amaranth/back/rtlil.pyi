from collections.abc import Mapping
from typing import Any

from ..hdl import Elaboratable, Value

def convert(
    elaboratable: Elaboratable,
    name: str = "top",
    platform: Any = None,
    *,
    ports: Mapping[str, tuple[Value, Any]] | None = None,
    emit_src: bool = True,
) -> str: ...

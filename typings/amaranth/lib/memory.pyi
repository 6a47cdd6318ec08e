from collections.abc import Iterable, Sequence
from typing import Any

from ..hdl import ShapeLike, Signal
from . import wiring

class ReadPort:
    en: Signal
    addr: Signal
    data: Any

class WritePort:
    en: Signal
    addr: Signal
    data: Any

class Memory(wiring.Component):
    def __init__(
        self, data: Any = None, *, shape: ShapeLike | None = None, depth: int | None = None, init: Iterable[Any] = ()
    ) -> None: ...
    def read_port(self, *, domain: str = "sync", transparent_for: Sequence[WritePort] = ()) -> ReadPort: ...
    def write_port(self, *, domain: str = "sync", granularity: int | None = None) -> WritePort: ...
    @property
    def data(self) -> Any: ...

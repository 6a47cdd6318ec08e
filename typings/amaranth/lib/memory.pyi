from collections.abc import Iterable, Sequence
from typing import Any

from ..hdl import ShapeLike, Signal
from . import wiring

class ReadPort:
    domain: str
    transparent_for: tuple[WritePort, ...]
    en: Signal
    addr: Signal
    data: Any

class WritePort:
    domain: str
    en: Signal
    addr: Signal
    data: Any

class Memory(wiring.Component):
    shape: ShapeLike
    depth: int
    @property
    def read_ports(self) -> tuple[ReadPort, ...]: ...
    @property
    def write_ports(self) -> tuple[WritePort, ...]: ...
    def elaborate(self, platform: object) -> Any: ...
    def __init__(
        self, data: Any = None, *, shape: ShapeLike | None = None, depth: int | None = None, init: Iterable[Any] = ()
    ) -> None: ...
    def read_port(self, *, domain: str = "sync", transparent_for: Sequence[WritePort] = ()) -> ReadPort: ...
    def write_port(self, *, domain: str = "sync", granularity: int | None = None) -> WritePort: ...
    @property
    def data(self) -> Any: ...

from typing import Any

from ..hdl import ShapeLike, Value
from . import wiring

class Signature(wiring.Signature):
    def __init__(
        self,
        payload_shape: ShapeLike,
        *,
        payload_init: Any = None,
        always_valid: bool = False,
        always_ready: bool = False,
    ) -> None: ...
    def create(self, *, path: Any = None, src_loc_at: int = 0) -> Interface: ...

class Interface:
    payload: Any
    valid: Value
    ready: Value
    @property
    def p(self) -> Any: ...
    @property
    def signature(self) -> Signature: ...

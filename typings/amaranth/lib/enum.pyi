from enum import Enum as _Enum
from typing import Any

class Enum(_Enum):
    def __init_subclass__(cls, *, shape: Any = None, **kwargs: Any) -> None: ...

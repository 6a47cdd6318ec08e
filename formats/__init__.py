"""Numbers: formats as frozen value objects, pure functions over NumPy arrays. No files, no models, no clocks.

The public names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .anda.format import AndaFormat, AndaTensor
    from .gemm.fp_int import fp_int_gemm
    from .gemm.operands import GemmFlags
    from .gemm.packed import weight_gemm
    from .gemm.reference import fp_int_gemm_reference
    from .weight_registry import read_weights, weight_quantizer
    from .weights.base import PackedWeights, WeightQuantizer
    from .weights.int4 import Int4Weights

__all__ = [
    "AndaFormat",
    "AndaTensor",
    "GemmFlags",
    "InputError",
    "Int4Weights",
    "PackedWeights",
    "WeightQuantizer",
    "fp_int_gemm",
    "fp_int_gemm_reference",
    "read_weights",
    "weight_gemm",
    "weight_quantizer",
]

_MODULES = {
    "AndaFormat": ".anda.format",
    "AndaTensor": ".anda.format",
    "fp_int_gemm": ".gemm.fp_int",
    "GemmFlags": ".gemm.operands",
    "weight_gemm": ".gemm.packed",
    "fp_int_gemm_reference": ".gemm.reference",
    "read_weights": ".weight_registry",
    "weight_quantizer": ".weight_registry",
    "PackedWeights": ".weights.base",
    "WeightQuantizer": ".weights.base",
    "Int4Weights": ".weights.int4",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value
    return value

"""Numbers: formats as frozen value objects, pure functions over NumPy arrays. No files, no models, no clocks."""

from .anda.format import AndaFormat, AndaTensor
from .errors import InputError
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

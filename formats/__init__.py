"""Numbers: formats as frozen value objects, pure functions over NumPy arrays. No files, no models, no clocks."""

from .anda import AndaFormat, AndaTensor
from .errors import InputError
from .gemm import GemmFlags, fp_int_gemm
from .gemm_reference import fp_int_gemm_reference
from .int4 import Int4Weights
from .packed_gemm import weight_gemm
from .weight_format import PackedWeights, WeightQuantizer
from .weight_quantizers import read_weights, weight_quantizer

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

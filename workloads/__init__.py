"""What is computed: model shapes, real weights, the decoder forward pass, captured traces, perplexity."""

from .gemms import Gemm, bops_saving, gemms
from .precision import MODULES, Precision
from .shapes import ModelShape, model_names, model_shape

__all__ = [
    "MODULES",
    "Gemm",
    "ModelShape",
    "Precision",
    "bops_saving",
    "gemms",
    "model_names",
    "model_shape",
]

"""Integer-only operators for transformer inference (I-LLM, arXiv 2405.17849), and the transformations that smooth activations.

The operators take and return only integers: codes, and dyadic scales ``m / 2**k``. ``docs/integer_only.md`` lists the
choices of this project where the public sources of I-LLM are not complete.
"""

from .arithmetic import integer_sqrt
from .exponential import di_exp, exp_guard_bits
from .matmul import Engine, add_residual, common_exponent, di_matmul, exact_matmul, integer_matmul, power_of_two_rows
from .norm import di_norm, di_norm_channelwise
from .requantization import Anchor, DyadicTensor, di_requantize, requantize, requantize_figure
from .smoothing import (
    BlockFactors,
    HeadLayout,
    analytic_llama_factors,
    analytic_scale,
    smooth_llama_block,
    smooth_opt_block,
)
from .softmax import di_clipped_softmax, integer_softmax
from .swiglu import SigmoidForm, di_sigmoid, di_swiglu

__all__ = [
    "Anchor",
    "BlockFactors",
    "DyadicTensor",
    "Engine",
    "HeadLayout",
    "SigmoidForm",
    "add_residual",
    "analytic_llama_factors",
    "analytic_scale",
    "common_exponent",
    "di_clipped_softmax",
    "di_exp",
    "di_matmul",
    "di_norm",
    "di_norm_channelwise",
    "di_requantize",
    "di_sigmoid",
    "di_swiglu",
    "exact_matmul",
    "exp_guard_bits",
    "integer_matmul",
    "integer_softmax",
    "integer_sqrt",
    "power_of_two_rows",
    "requantize",
    "requantize_figure",
    "smooth_llama_block",
    "smooth_opt_block",
]

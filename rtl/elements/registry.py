"""The baselines and operators that the Anda circuits are compared with, by name."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from amaranth.lib import wiring

from ..arithmetic.fp_accumulator import RunningSum
from ..arithmetic.scaling import GroupAccumulator
from ..operators.integer_only import DiExp, IntegerSqrt, SoftmaxLane
from ..operators.weight_decoders import SpQRDecoder, SqueezeLLMDecoder
from .fp_pe import FpFpPE, FpIntPE
from .integer_pe import FiglutPE, FignaPE, IfpuPE
from .scaled_pe import ScaledAndaPE
from .sign_counter import NegativeCounter

BASELINE_DESIGNS: Mapping[str, Callable[..., wiring.Component]] = MappingProxyType(
    {
        "anda-pe-scaled": ScaledAndaPE,
        "di-exp": DiExp,
        "figlut-pe": FiglutPE,
        "figna-pe": FignaPE,
        "fp-fp-mac": partial(FpFpPE, dot_width=1),
        "fp-fp-pe": FpFpPE,
        "fp-int-pe": FpIntPE,
        "group-accumulator": GroupAccumulator,
        "ifpu-pe": IfpuPE,
        "integer-sqrt": IntegerSqrt,
        "negative-counter": NegativeCounter,
        "running-sum": RunningSum,
        "softmax-lane": SoftmaxLane,
        "spqr-decoder": SpQRDecoder,
        "squeezellm-decoder": SqueezeLLMDecoder,
    }
)

"""The baselines and operators that the Anda circuits are compared with, by name."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from amaranth.lib import wiring

from .fp_pe import FpFpPE, FpIntPE
from .integer_operators import DiExp, IntegerSqrt, SoftmaxLane
from .integer_pe import FiglutPE, FignaPE, IfpuPE
from .negatives import NegativeCounter
from .running_sum import RunningSum
from .scaled_pe import ScaledAndaPE
from .scaling import GroupAccumulator
from .weight_decoders import SpQRDecoder, SqueezeLLMDecoder

BASELINE_DESIGNS: Mapping[str, Callable[..., wiring.Component]] = MappingProxyType(
    {
        "anda-pe-scaled": ScaledAndaPE,
        "di-exp": DiExp,
        "figlut-pe": FiglutPE,
        "figna-pe": FignaPE,
        "fp-fp-mac": partial(FpFpPE, ways=1),
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

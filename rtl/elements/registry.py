# amaranth: UnusedElaboratable=no
"""The baselines and operators that the Anda circuits are compared with, by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from amaranth.lib import wiring

from ..arithmetic.fp_accumulator import RunningSum, RunningSumParameters
from ..arithmetic.scaling import GroupAccumulator
from ..operators.integer_only import DiExp, IntegerSqrt, SoftmaxLane
from ..operators.weight_decoders import SpQRDecoder, SqueezeLLMDecoder
from .fp_dot import FloatingDot, FpDotParameters
from .fp_pe import FpIntParameters, FpIntPE
from .integer_pe import FiglutPE, FignaParameters, FignaPE, IfpuParameters, IfpuPE
from .scaled_pe import ScaledAndaPE, ScaledAndaPEParameters


@dataclass(frozen=True)
class Design:
    """A circuit that can be created by name.

    Attributes
    ----------
    component
        Its class.
    parameters
        The class of the parameters object that `component` takes; None if it takes keyword arguments.
    """

    component: Callable[..., wiring.Component]
    parameters: Callable[..., Any] | None = None

    @property
    def parameter_names(self) -> list[str]:
        """Names of the circuit's parameters."""
        return list(inspect.signature(self.parameters or self.component).parameters)

    def create(self, **parameters: Any) -> wiring.Component:
        """The circuit; a parameter that is not given keeps its default."""
        if self.parameters is None:
            return self.component(**parameters)
        return self.component(self.parameters(**parameters))


BASELINE_DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "anda-pe-scaled": Design(ScaledAndaPE, ScaledAndaPEParameters),
        "di-exp": Design(DiExp),
        "figlut-pe": Design(FiglutPE),
        "figna-pe": Design(FignaPE, FignaParameters),
        "fp-fp-mac": Design(FloatingDot, partial(FpDotParameters, dot_width=1)),
        "fp-fp-pe": Design(FloatingDot, FpDotParameters),
        "fp-int-pe": Design(FpIntPE, FpIntParameters),
        "group-accumulator": Design(GroupAccumulator),
        "ifpu-pe": Design(IfpuPE, IfpuParameters),
        "integer-sqrt": Design(IntegerSqrt),
        "running-sum": Design(RunningSum, RunningSumParameters),
        "softmax-lane": Design(SoftmaxLane),
        "spqr-decoder": Design(SpQRDecoder),
        "squeezellm-decoder": Design(SqueezeLLMDecoder),
    }
)

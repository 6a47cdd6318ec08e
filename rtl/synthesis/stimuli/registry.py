"""Registry of the stimuli of all circuits."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from amaranth.lib import wiring

from ....formats.checks import check_integer
from ....formats.weights.int4 import BITS as CODE_BITS
from ...arithmetic.fp import Fp16Multiplier, Fp32Adder, Fp32ToFp16, IntToFp16
from ...arithmetic.fp_accumulator import RunningSum
from ...arithmetic.scaling import GroupAccumulator
from ...array.mxu import MatrixUnit
from ...compressor.alignment import FieldExtractor, MaximumExponent
from ...compressor.bpc import BitPlaneCompressor, BpcLane
from ...elements.anda_pe import AndaPE
from ...elements.fp_dot import FloatingDot
from ...elements.fp_pe import FpIntPE
from ...elements.integer_pe import FiglutPE, FignaPE, IfpuPE
from ...elements.scaled_pe import ScaledAndaPE
from ...operators.integer_only import DiExp, IntegerSqrt, SoftmaxLane
from ...operators.weight_decoders import SpQRDecoder, SqueezeLLMDecoder
from ...vector.unit import VectorUnit
from . import circuits as circuit
from . import elements as element
from . import operators as operator
from . import vector
from .circuits import Stimulus
from .operands import Operands
from .own_element import MEMBERS, own_element

Maker = Callable[[Any, Operands, Sequence[int]], list[Stimulus]]
"""Function that makes the runs of a circuit from operands and mantissa lengths."""

_MAKERS: Mapping[type[wiring.Component], Maker] = MappingProxyType(
    {
        AndaPE: circuit.anda_pe,
        BitPlaneCompressor: circuit.compressor,
        BpcLane: circuit.bpc_lane,
        DiExp: operator.di_exp_operator,
        FiglutPE: element.figlut_pe,
        FieldExtractor: operator.field_extractor,
        FignaPE: element.figna_pe,
        FloatingDot: element.floating_dot,
        FpIntPE: element.fp_int_pe,
        GroupAccumulator: element.group_accumulator,
        Fp16Multiplier: circuit.fp16_multiplier,
        IfpuPE: element.ifpu_pe,
        IntToFp16: circuit.int_to_fp16,
        IntegerSqrt: operator.integer_sqrt_operator,
        MatrixUnit: circuit.matrix_unit,
        MaximumExponent: operator.maximum_exponent,
        RunningSum: operator.running_sum,
        ScaledAndaPE: element.scaled_anda_pe,
        Fp32Adder: circuit.fp32_adder,
        Fp32ToFp16: circuit.fp32_to_fp16,
        SoftmaxLane: operator.softmax_lane,
        SpQRDecoder: operator.spqr_decoder,
        SqueezeLLMDecoder: operator.squeezellm_decoder,
        VectorUnit: vector.vector_unit,
    }
)


def has_stimulus(design: wiring.Component) -> bool:
    """True if a circuit has a stimulus, so that it can be measured."""
    return _maker(design) is not None


def stimuli(design: wiring.Component, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """Runs of a circuit. A circuit that takes a mantissa length has a run for each of `mantissa_bits`.

    Raises
    ------
    LookupError
        The circuit has no stimulus.
    InputError
        The circuit is too narrow for the groups or the weights of the trace.
    """
    maker = _maker(design)
    if maker is None:
        raise LookupError(type(design).__name__)
    if weight_bits := getattr(getattr(design, "parameters", None), "weight_bits", 0):
        check_integer("weight_bits", weight_bits, CODE_BITS)  # the trace has INT4 weights
    return maker(design, operands, mantissa_bits)


def _maker(design: wiring.Component) -> Maker | None:
    if all(hasattr(design, member) for member in MEMBERS):
        return own_element
    return next((_MAKERS[kind] for kind in type(design).__mro__ if kind in _MAKERS), None)

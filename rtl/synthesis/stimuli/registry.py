"""Registry of the stimuli of all circuits."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from amaranth.lib import wiring

from . import circuits as circuit
from . import elements as element
from . import operators as operator
from . import vector
from .circuits import Stimulus
from .operands import Operands

Maker = Callable[[Any, Operands, Sequence[int]], list[Stimulus]]
"""Function that makes the runs of a circuit from operands and mantissa lengths."""

_MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "AndaPE": circuit.anda_pe,
        "BitPlaneCompressor": circuit.compressor,
        "BpcLane": circuit.bpc_lane,
        "DiExp": operator.di_exp_operator,
        "FiglutPE": element.figlut_pe,
        "FieldExtractor": operator.field_extractor,
        "FignaPE": element.figna_pe,
        "FloatingDot": element.floating_dot,
        "FpIntPE": element.fp_int_pe,
        "GroupAccumulator": element.group_accumulator,
        "Fp16Multiplier": circuit.fp16_multiplier,
        "IfpuPE": element.ifpu_pe,
        "IntToFp16": circuit.int_to_fp16,
        "IntegerSqrt": operator.integer_sqrt_operator,
        "MatrixUnit": circuit.matrix_unit,
        "MaximumExponent": operator.maximum_exponent,
        "NegativeCounter": operator.negative_counter,
        "RunningSum": operator.running_sum,
        "ScaledAndaPE": element.scaled_anda_pe,
        "Fp32Adder": circuit.fp32_adder,
        "Fp32ToFp16": circuit.fp32_to_fp16,
        "SoftmaxLane": operator.softmax_lane,
        "SpQRDecoder": operator.spqr_decoder,
        "SqueezeLLMDecoder": operator.squeezellm_decoder,
        "VectorUnit": vector.vector_unit,
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
    """
    maker = _maker(design)
    if maker is None:
        raise LookupError(type(design).__name__)
    return maker(design, operands, mantissa_bits)


def _maker(design: wiring.Component) -> Maker | None:
    return next((_MAKERS[kind.__name__] for kind in type(design).__mro__ if kind.__name__ in _MAKERS), None)

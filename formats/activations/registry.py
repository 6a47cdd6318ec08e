"""Registry of activation formats by name, with the settings in which each is published.

    >>> fmt = activation_format("fast", mantissa_bits=2)
    >>> fmt.bits_per_value, fmt.cycles_per_group
    (3.3125, 2)

To add a format, implement the protocol `anda_codesign.formats.activations.base.ActivationFormat` and call
`anda_codesign.register`.
"""

from ..anda.format import AndaFormat
from ..numeric.alignment import MAX_MANTISSA_BITS
from ..registry import Modes, Registry
from .aligned import FignaFormat, IfpuFormat
from .base import ActivationFormat, ActivationTensor
from .boost import BoostFormat
from .dacapo import DacapoFormat
from .fp import Bf16Format, Fp16Format
from .mx import (
    MxFp4Format,
    MxFp6E2m3Format,
    MxFp6E3m2Format,
    MxFp8E4m3Format,
    MxFp8E5m2Format,
    MxInt8Format,
    NvFp4Format,
)
from .uniform_bfp import FanFormat, FastFormat, FlexBlockFormat, FlexpointFormat, LianFormat
from .vsquant import VsQuantFormat

__all__ = [
    "ActivationFormat",
    "ActivationTensor",
    "activation_format",
    "activation_format_modes",
    "activation_formats",
    "registry",
]

registry: Registry[ActivationFormat] = Registry("format", "activation format")


def activation_formats() -> list[str]:
    """Names of all activation formats, in the order of registration."""
    return registry.names()


def activation_format(name: str, **parameters: int | str) -> ActivationFormat:
    """Build the format with this name.

    Raises
    ------
    InputError
        The format, a parameter or a value does not exist, or a parameter is missing.
    """
    return registry.build(name, parameters)


def activation_format_modes(name: str) -> list[ActivationFormat]:
    """Build the format with this name in each published setting."""
    return registry.modes(name)


def _lengths(*mantissa_bits: int) -> Modes:
    return [{"mantissa_bits": bits} for bits in mantissa_bits]


registry.register(Fp16Format)
registry.register(Bf16Format)
registry.register(AndaFormat, _lengths(*range(1, MAX_MANTISSA_BITS + 1)))
registry.register(FignaFormat, _lengths(13, 11, 8))
registry.register(IfpuFormat)
registry.register(VsQuantFormat)
registry.register(BoostFormat)
registry.register(LianFormat)
registry.register(FanFormat)
registry.register(FlexpointFormat)
registry.register(FastFormat, _lengths(2, 4))
registry.register(DacapoFormat, _lengths(2, 4, 8))
registry.register(FlexBlockFormat, _lengths(4, 8, 16))
registry.register(MxFp8E4m3Format)
registry.register(MxFp8E5m2Format)
registry.register(MxFp6E2m3Format)
registry.register(MxFp6E3m2Format)
registry.register(MxFp4Format)
registry.register(MxInt8Format)
registry.register(NvFp4Format)

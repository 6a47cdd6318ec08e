"""Registry of activation formats by name, with the settings in which each is published.

    >>> fmt = activation_format("fast", mantissa_bits=2)
    >>> fmt.bits_per_value, fmt.cycles_per_group
    (3.3125, 2)

To add a format, implement the protocol `anda_codesign.formats.activations.base.ActivationFormat` and call `register`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..anda.format import AndaFormat
from ..checks import check_choice, check_parameters
from ..errors import InputError
from ..numeric.alignment import MAX_MANTISSA_BITS
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
    "register",
]

Modes = Sequence[Mapping[str, int | str]]


class _Entry(NamedTuple):
    format_class: type[ActivationFormat]
    modes: Modes


_registry: dict[str, _Entry] = {}


def register(format_class: type[ActivationFormat], modes: Modes = ({},)) -> None:
    """Register a format under its ``name``.

    Parameters
    ----------
    format_class
        Class of the format; takes the parameters as keywords.
    modes
        Parameters of each published setting; ``{}`` is the setting with all defaults.

    Raises
    ------
    InputError
        The name is already registered.
    """
    name = format_class.name
    if name in _registry:
        raise InputError(f"name: {name!r} is already an activation format; choose another name")
    _registry[name] = _Entry(format_class, tuple(modes))


def activation_formats() -> list[str]:
    """Names of all activation formats, in the order of registration."""
    return list(_registry)


def activation_format(name: str, **parameters: int | str) -> ActivationFormat:
    """Build the format with this name.

    Raises
    ------
    InputError
        The format, a parameter or a value does not exist, or a parameter is missing.
    """
    entry = _entry(name)
    check_parameters(name, entry.format_class, parameters)
    return entry.format_class(**parameters)


def activation_format_modes(name: str) -> list[ActivationFormat]:
    """Build the format with this name in each published setting."""
    return [activation_format(name, **mode) for mode in _entry(name).modes]


def _entry(name: str) -> _Entry:
    return _registry[check_choice("format", name, _registry)]


def _lengths(*mantissa_bits: int) -> Modes:
    return [{"mantissa_bits": bits} for bits in mantissa_bits]


register(Fp16Format)
register(Bf16Format)
register(AndaFormat, _lengths(*range(1, MAX_MANTISSA_BITS + 1)))
register(FignaFormat, _lengths(13, 11, 8))
register(IfpuFormat)
register(VsQuantFormat)
register(BoostFormat)
register(LianFormat)
register(FanFormat)
register(FlexpointFormat)
register(FastFormat, _lengths(2, 4))
register(DacapoFormat, _lengths(2, 4, 8))
register(FlexBlockFormat, _lengths(4, 8, 16))
register(MxFp8E4m3Format)
register(MxFp8E5m2Format)
register(MxFp6E2m3Format)
register(MxFp6E3m2Format)
register(MxFp4Format)
register(MxInt8Format)
register(NvFp4Format)

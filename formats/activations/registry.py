"""The registry of activation formats: one name for each, and the settings in which its source publishes it.

    >>> fmt = activation_format("fast", mantissa_bits=2)
    >>> fmt.bits_per_value, fmt.cycles_per_group
    (3.3125, 2)

To add a format, write its module (the protocol is `anda_codesign.formats.activations.base`) and register it below,
or call `register` from a module of your own.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..anda.format import AndaFormat
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
    """Add a format under its ``name``.

    Parameters
    ----------
    format_class
        Builds the format; takes its parameters as keywords.
    modes
        The parameters of each setting in which its source publishes it; a single ``{}`` stands for the defaults.

    Raises
    ------
    InputError
        The name is taken.
    """
    name = format_class.name
    if name in _registry:
        raise InputError(f"name: an activation format {name!r} exists; choose another name")
    _registry[name] = _Entry(format_class, tuple(modes))


def activation_formats() -> list[str]:
    """The names of all activation formats, in the order of registration."""
    return list(_registry)


def activation_format(name: str, **parameters: int | str) -> ActivationFormat:
    """Build the format of this name.

    Raises
    ------
    InputError
        There is no such format, it has no such parameter, or a parameter has no such value.
    """
    entry = _entry(name)
    accepted = inspect.signature(entry.format_class).parameters
    for parameter in parameters:
        if parameter not in accepted:
            known = ", ".join(accepted) or "none"
            raise InputError(f"{parameter}: {name} has no such parameter; it has {known}")
    required = [key for key, value in accepted.items() if value.default is value.empty and key not in parameters]
    if required:
        raise InputError(f"{required[0]}: {name} needs it; give {name} a value for {required[0]}")
    return entry.format_class(**parameters)


def activation_format_modes(name: str) -> list[ActivationFormat]:
    """The format of this name in every setting in which its source publishes it."""
    return [activation_format(name, **mode) for mode in _entry(name).modes]


def _entry(name: str) -> _Entry:
    if name not in _registry:
        raise InputError(f"format: there is no activation format {name!r}; choose one of {', '.join(_registry)}")
    return _registry[name]


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

"""Activation hooks: the number format of the activations that enter the GeMMs.

A hook is a frozen dataclass. Two hooks are equal if they have the same class and fields, and then they give the same
values; the cache of `evaluate` relies on this.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...formats import AndaFormat, InputError, Int4Weights, fp_int_gemm
from ...formats.activations.base import ActivationFormat
from ...formats.gemm.decoded import decoded_gemm
from ...formats.options import Partial
from ...formats.own_classes import is_built_in
from ..models.parameters import FloatArray
from ..models.precision import MODULES, Precision
from .decoder import ActivationHook, ModuleArithmetic
from .operators import to_fp16


@dataclass(frozen=True)
class Fp16Activations:
    """Activations rounded to FP16: the reference of every loss."""

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Return the FP16 values of `x` as float32."""
        return to_fp16(x)


@dataclass(frozen=True, init=False)
class AndaActivations:
    """Activations in the Anda format, with the mantissa bits of each module.

    Parameters
    ----------
    precision
        Mantissa bits of qkv, o, u and d.
    options
        The other parameters of `AndaFormat`, such as ``group_size=32`` or ``reconstruct="midpoint"``.
    """

    formats: tuple[AndaFormat, ...]
    """Formats of qkv, o, u and d."""

    def __init__(self, precision: Precision, **options: object) -> None:
        formats = tuple(AndaFormat(bits, **options) for bits in precision)  # pyright: ignore[reportArgumentType]
        object.__setattr__(self, "formats", formats)

    def format(self, module: str) -> AndaFormat:
        """Format of a module: qkv, o, u or d."""
        return self.formats[MODULES.index(module)]

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Return the Anda values of `x` as float32.

        Raises
        ------
        InputError
            `x` overflows FP16.
        """
        from .fake_quantize import fake_quantize  # loads numba

        try:
            return fake_quantize(x, self.format(module))
        except InputError as error:
            raise InputError(f"activations of {module} in layer {layer}: {error}") from None


def _encode(number_format: Any, module: str, layer: int, x: FloatArray) -> Any:
    """Encode the FP16 values of `x`; an error names the module and the layer."""
    with np.errstate(over="ignore"):
        half = x.astype(np.float16)
    with _failures(number_format, module, layer):
        return number_format.encode(half)


def _decode(number_format: Any, module: str, layer: int, x: FloatArray) -> Any:
    """The values that a format keeps of `x`; errors as in `_encode`."""
    tensor = _encode(number_format, module, layer, x)
    with _failures(number_format, module, layer):
        return tensor.decode()


@contextmanager
def _failures(number_format: Any, module: str, layer: int) -> Generator[None]:
    """Turn a failure of a format into one line with the module and the layer; a format of a user's own may do anything."""
    try:
        yield
    except InputError as error:
        raise InputError(f"activations of {module} in layer {layer}: {error}") from None
    except Exception as error:
        if is_built_in(type(number_format)):
            raise
        raise InputError(
            f"activations of {module} in layer {layer}: {number_format.name} fails ({type(error).__name__}: {error}); fix its "
            "encode and decode"
        ) from None


@dataclass(frozen=True)
class FormatActivations:
    """Activations in any activation format, the same in all modules."""

    format: ActivationFormat

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Return the format's values of `x` as float32.

        Raises
        ------
        InputError
            `x` overflows FP16.
        """
        return _decode(self.format, module, layer, x).astype(np.float32)


@dataclass(frozen=True, init=False)
class ModuleActivations:
    """One number format in some modules, another in all others.

    Parameters
    ----------
    base
        The activations of all other modules.
    modules
        The activations of these modules, by name.
    """

    base: ActivationHook
    modules: tuple[tuple[str, ActivationHook], ...]

    def __init__(self, base: ActivationHook, modules: Mapping[str, ActivationHook]) -> None:
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "modules", tuple((module, modules[module]) for module in sorted(modules)))

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Apply the format of the module."""
        return dict(self.modules).get(module, self.base)(module, layer, x)


@dataclass(frozen=True, init=False)
class LayeredActivations:
    """One number format in some layers, another in all others.

    Parameters
    ----------
    base
        The activations of all other layers.
    layers
        The activations of these layers, by number.
    """

    base: ActivationHook
    layers: tuple[tuple[int, ActivationHook], ...]

    def __init__(self, base: ActivationHook, layers: Mapping[int, ActivationHook]) -> None:
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "layers", tuple((layer, layers[layer]) for layer in sorted(layers)))

    @property
    def first_layer(self) -> int | None:
        """First layer that may differ from the base; None if no layer does."""
        return self.layers[0][0] if self.layers else None

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Apply the format of the layer."""
        return dict(self.layers).get(layer, self.base)(module, layer, x)


@dataclass(frozen=True, init=False)
class AndaArithmetic(ModuleArithmetic):
    """The accelerator's own GeMMs, bit for bit: Anda activations, integer dot products, rounded partial sums.

    Slower than `AndaActivations`, which multiplies the same Anda values in float32.

    Parameters
    ----------
    precision
        Mantissa bits of qkv, o, u and d.
    partial
        ``"fp16"`` as in the circuit, or ``"fp32"``; see `fp_int_gemm`.
    options
        The other parameters of `AndaFormat`.
    """

    activations: AndaActivations
    partial: Partial

    def __init__(self, precision: Precision, partial: Partial = "fp16", **options: object) -> None:
        object.__setattr__(self, "activations", AndaActivations(precision, **options))
        object.__setattr__(self, "partial", partial)

    def multiply(self, module: str, layer: int, x: FloatArray, weights: Sequence[Int4Weights]) -> FloatArray:
        """Multiply `x` by each matrix; every result is an FP16 value, as float32.

        Raises
        ------
        InputError
            `x` overflows FP16.
        """
        tensor = _encode(self.activations.format(module), module, layer, x)
        return np.concatenate([fp_int_gemm(tensor, w, self.partial) for w in weights], axis=1).astype(np.float32)


@dataclass(frozen=True)
class FormatArithmetic(ModuleArithmetic):
    """GeMMs of a processing element in any activation format: sums of groups rounded to `partial`, then scaled and added.

    Attributes
    ----------
    formats
        Formats of qkv, o, u and d.
    group_size
        Channels that an element sums before it rounds.
    partial
        Type of these sums.
    """

    formats: tuple[ActivationFormat, ...]
    group_size: int
    partial: Partial

    def multiply(self, module: str, layer: int, x: FloatArray, weights: Sequence[Int4Weights]) -> FloatArray:
        """Multiply `x` by each matrix; every result is an FP16 value, as float32."""
        values = _decode(self.formats[MODULES.index(module)], module, layer, x)
        results = [decoded_gemm(values, w, self.group_size, self.partial) for w in weights]
        return np.concatenate(results, axis=1).astype(np.float32)

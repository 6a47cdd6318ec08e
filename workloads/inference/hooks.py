"""Activation hooks: what number format the inputs of the GeMMs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from ...formats import AndaFormat, InputError, Int4Weights, fp_int_gemm
from ...formats.activations.base import ActivationFormat
from ...formats.gemm.operands import Partial
from ..models.parameters import FloatArray
from ..models.precision import MODULES, Precision
from .decoder import DescribedActivations, ModuleArithmetic
from .operators import to_fp16


class Fp16Activations:
    """Activations rounded to FP16: the reference that every loss is relative to."""

    description = "fp16"
    """Identifies the activations' values, for the evaluation cache."""

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Return the FP16 values of `x` as float32."""
        return to_fp16(x)


class AndaActivations:
    """Activations in the Anda format, with the mantissa bits of each module.

    Args:
        precision: mantissa bits of qkv, o, u and d.
        options: the other parameters of `AndaFormat`, such as ``group_size=32`` or ``reconstruct="midpoint"``.
    """

    def __init__(self, precision: Precision, **options: object) -> None:
        self.precision = precision
        self.formats = {
            module: AndaFormat(mantissa_bits=bits, **options)  # pyright: ignore[reportArgumentType]
            for module, bits in zip(MODULES, precision, strict=True)
        }

    @property
    def description(self) -> str:
        """Identifies the activations' values, for the evaluation cache."""
        return "anda " + " ".join(f"{module}:{asdict(fmt)}" for module, fmt in self.formats.items())

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Return the Anda values of `x` as float32.

        Raises:
            InputError: `x` overflows FP16.
        """
        from .fake_quantize import fake_quantize  # loads numba

        try:
            return fake_quantize(x, self.formats[module])
        except InputError as error:
            raise InputError(f"activations of {module} in layer {layer}: {error}") from None


class FormatActivations:
    """Activations in any activation format, alike in all modules."""

    def __init__(self, fmt: ActivationFormat) -> None:
        self.format = fmt

    @property
    def description(self) -> str:
        """Identifies the activations' values, for the evaluation cache."""
        return f"{self.format.name} {self.format.parameters}"

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Return the format's values of `x` as float32.

        Raises:
            InputError: `x` overflows FP16.
        """
        with np.errstate(over="ignore"):
            half = x.astype(np.float16)
        try:
            return self.format.encode(half).decode().astype(np.float32)
        except InputError as error:
            raise InputError(f"activations of {module} in layer {layer}: {error}") from None


class ModuleActivations:
    """One number format in some modules, another in the others.

    Args:
        base: the activations of all other modules.
        modules: the activations of these modules.
    """

    def __init__(self, base: DescribedActivations, modules: Mapping[str, DescribedActivations]) -> None:
        self._base, self._modules = base, dict(modules)

    @property
    def description(self) -> str:
        """Identifies the activations' values, for the evaluation cache."""
        modules = sorted((module, hook.description) for module, hook in self._modules.items())
        return f"{self._base.description} but {modules}"

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Apply the format of the module."""
        return self._modules.get(module, self._base)(module, layer, x)


class AndaArithmetic(ModuleArithmetic):
    """The accelerator's own GeMMs, bit for bit: Anda activations, integer dot products, rounded partial sums.

    Slower than `AndaActivations`, which multiplies the same Anda values in float32.

    Args:
        precision: mantissa bits of qkv, o, u and d.
        partial: ``"fp16"`` as the circuit has it, or ``"fp32"``; see `fp_int_gemm`.
        options: the other parameters of `AndaFormat`.
    """

    def __init__(self, precision: Precision, partial: Partial = "fp16", **options: object) -> None:
        self._activations = AndaActivations(precision, **options)
        self._partial: Partial = partial

    @property
    def description(self) -> str:
        """Identifies the values, for the evaluation cache."""
        return f"arithmetic {self._partial} {self._activations.description}"

    def multiply(self, module: str, layer: int, x: FloatArray, weights: Sequence[Int4Weights]) -> FloatArray:
        """Multiply `x` by each matrix; every result is a FP16 value, as float32.

        Raises:
            InputError: `x` overflows FP16.
        """
        with np.errstate(over="ignore"):
            half = x.astype(np.float16)
        try:
            tensor = self._activations.formats[module].encode(half)
        except InputError as error:
            raise InputError(f"activations of {module} in layer {layer}: {error}") from None
        return np.concatenate([fp_int_gemm(tensor, w, self._partial) for w in weights], axis=1).astype(np.float32)

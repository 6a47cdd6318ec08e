"""Check that a format keeps its word: a sample is encoded, decoded and packed, and compared with ``bits_per_value``.

A tensor with ``to_bytes()`` is packed at two sizes; a header that does not grow drops out of the difference. Without ``to_bytes()``
the values that one element of a group can take are counted, beside others that stay the same: a format of ``b`` bits a value has
no more than ``2^b``. Formats of this package are held to their bits by tests.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..numeric.alignment import GROUP_SIZE
from ..own_classes import TOLERANCE, is_built_in
from .base import ActivationFormat

SAMPLE_TOKENS = 64
SAMPLE_CHANNELS = 2048
"""A multiple of most groups: padding of a short last group is no lie."""


def check_honest(fmt: ActivationFormat) -> None:
    """Check a user's own format on a sample; formats of this package pass.

    Raises
    ------
    InputError
        It fails, decodes to something else, or takes more bits than it says.
    """
    if not is_built_in(type(fmt)):
        verify(fmt)


def verify(fmt: ActivationFormat) -> None:
    """Check any format on a sample; see `check_honest`."""
    name, said = fmt.name, float(fmt.bits_per_value)
    sample = np.random.default_rng(0).standard_normal((SAMPLE_TOKENS, SAMPLE_CHANNELS)).astype(np.float16)
    longer, _ = _round_trip(fmt, sample)
    if not hasattr(longer, "to_bytes"):
        _check_values(fmt, said)
        return
    part = sample[: SAMPLE_TOKENS // 2]
    shorter, _ = _round_trip(fmt, part)
    taken = (_packed_bits(fmt, longer, sample) - _packed_bits(fmt, shorter, part)) / (sample.size - part.size)
    if taken > said * (1 + TOLERANCE):
        raise InputError(
            f"activations: {name} packs {taken:.4g} bits a value and says {said:.4g}; correct bits_per_value, or to_bytes of its tensor"
        )


def _packed_bits(fmt: ActivationFormat, tensor: Any, x: NDArray[np.float16]) -> int:
    with _failures(fmt, x, "pack", "to_bytes"):
        data = tensor.to_bytes()
    if not isinstance(data, bytes | bytearray):
        raise InputError(f"activations: to_bytes of {fmt.name} returns {type(data).__name__}; return bytes")
    return 8 * len(data)


def _check_values(fmt: ActivationFormat, said: float) -> None:
    """Count the values that the last element of a group takes; the first, which is larger, keeps shared exponents as they are."""
    varied = np.unique(np.linspace(-1, 1, 2 * SAMPLE_CHANNELS).astype(np.float16))
    group = getattr(fmt, "group_size", GROUP_SIZE) or GROUP_SIZE
    x = np.zeros((len(varied), min(max(group, 2), SAMPLE_CHANNELS)), np.float16)
    x[:, 0], x[:, -1] = 1.5, varied
    _, decoded = _round_trip(fmt, x)
    count = len(np.unique(decoded[:, -1].astype(np.float32)))
    if count > 2 ** math.ceil(said):
        raise InputError(
            f"activations: {fmt.name} says {said:.4g} bits a value, and an element takes {count} values, which need "
            f"{math.log2(count):.1f}; correct bits_per_value, or give its tensor to_bytes()"
        )


@contextmanager
def _failures(fmt: ActivationFormat, x: NDArray[np.float16], verb: str, methods: str) -> Generator[None]:
    """Turn a failure into one line; the format may do anything."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"activations: {fmt.name} cannot {verb} a sample of {list(x.shape)} float16 values "
            f"({type(error).__name__}: {error}); fix {methods}"
        ) from None


def _round_trip(fmt: ActivationFormat, x: NDArray[np.float16]) -> tuple[Any, NDArray[Any]]:
    with _failures(fmt, x, "encode", "encode and decode"):
        tensor: Any = fmt.encode(x)
        decoded: Any = tensor.decode()
    if not isinstance(decoded, np.ndarray) or decoded.shape != x.shape or decoded.dtype not in (np.float16, np.float32):
        shape = getattr(decoded, "shape", None)
        found = type(decoded).__name__ if shape is None else f"{decoded.dtype} {list(shape)}"
        raise InputError(
            f"activations: {fmt.name} decodes {list(x.shape)} to {found}; return float16 or float32 of that shape"
        )
    if not np.isfinite(decoded).all():
        raise InputError(f"activations: {fmt.name} decodes finite values to infinity or NaN; saturate instead")
    return tensor, decoded

"""Which code does the work: compiled kernels (numba) or plain NumPy. Both give the same bits.

Loading the compiled kernels takes about a second, so small arrays stay in NumPy. The environment variable
``ANDA_KERNELS`` decides for all sizes: ``numba`` or ``numpy``; ``auto``, the default, by size.
"""

import os
from functools import cache
from importlib.util import find_spec

from ..errors import InputError

SMALL = 1 << 18
"""Below this much work (values to convert, or multiplications) NumPy is fast enough."""

_CHOICES = ("auto", "numba", "numpy")


def use_compiled(work: int) -> bool:
    """Whether work of this size runs in compiled kernels."""
    choice = os.environ.get("ANDA_KERNELS", "auto")
    if choice not in _CHOICES:
        raise InputError(f"ANDA_KERNELS: {choice!r} is not valid; choose one of {', '.join(_CHOICES)}")
    if choice == "auto":
        return work >= SMALL and _numba_is_installed()
    return choice == "numba"


@cache
def _numba_is_installed() -> bool:
    return find_spec("numba") is not None

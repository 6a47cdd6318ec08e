"""Choice between compiled kernels (numba) and plain NumPy, which give the same bits.

Loading the compiled kernels takes about a second, so small arrays use NumPy. The environment variable ``ANDA_KERNELS``
chooses ``numba`` or ``numpy`` for all sizes; the default ``auto`` chooses by size.
"""

import os
from functools import cache
from importlib.util import find_spec

from ..checks import check_choice

SMALL = 1 << 18
"""Values or multiplications below which NumPy is used."""

_CHOICES = ("auto", "numba", "numpy")


def use_compiled(work: int) -> bool:
    """True if work of this size (values or multiplications) runs in compiled kernels."""
    choice = check_choice("ANDA_KERNELS", os.environ.get("ANDA_KERNELS", "auto"), _CHOICES)
    if choice == "auto":
        return work >= SMALL and _numba_is_installed()
    return choice == "numba"


@cache
def _numba_is_installed() -> bool:
    return find_spec("numba") is not None

"""Choice between compiled kernels (numba) and plain NumPy, which give the same bits.

Loading the compiled kernels takes about a second, so small arrays use NumPy until a large one has loaded the kernel, or until
many small ones have paid for loading it. The environment variable ``ANDA_KERNELS`` chooses ``numba`` or ``numpy`` for all sizes;
the default ``auto`` chooses by size.
"""

import os
from collections import Counter
from functools import cache
from importlib.util import find_spec

from ..checks import check_choice

SMALL = 1 << 18
"""Values or multiplications below which NumPy is used, unless the kernel is loaded."""
SMALLEST = 1 << 10
"""Values below which NumPy is used in any case."""
PAID = 1 << 24
"""Values of small arrays after which a kernel is loaded: NumPy takes about a second for them."""
_small: Counter[str] = Counter()
"""Values of the small arrays so far, by kernel; `PAID` if it is loaded."""

_CHOICES = ("auto", "numba", "numpy")


def use_compiled(work: int, kernel: str | None = None) -> bool:
    """True if work of this size (values or multiplications) runs in compiled kernels.

    Parameters
    ----------
    work
        Size of the work.
    kernel
        Name of a kernel that pays for small arrays once it is loaded.
    """
    choice = check_choice("ANDA_KERNELS", os.environ.get("ANDA_KERNELS", "auto"), _CHOICES)
    if choice != "auto":
        return choice == "numba"
    if kernel is None:
        return work >= SMALL and _numba_is_installed()
    _small[kernel] += PAID if work >= SMALL else work
    return work >= SMALLEST and _small[kernel] >= PAID and _numba_is_installed()


@cache
def _numba_is_installed() -> bool:
    return find_spec("numba") is not None

"""A single GeMM as text, for the command line: ``2048x4096x4096``."""

from ..formats import InputError
from ..workloads import Gemm


def parse_gemm(text: str) -> Gemm:
    """Read ``TOKENSxINxOUT``; the GeMM counts as module ``u``.

    >>> parse_gemm("2048x4096x4096")
    Gemm(module='u', tokens=2048, in_channels=4096, out_channels=4096, repeat=1)

    Raises:
        InputError: the text is not three positive whole numbers.
    """
    try:
        tokens, in_channels, out_channels = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise InputError(f"gemm: {text!r} is not three numbers; write TOKENSxINxOUT, such as 2048x4096x4096") from None
    if min(tokens, in_channels, out_channels) < 1:
        raise InputError(f"gemm: {text!r} has a size below 1; write TOKENSxINxOUT, such as 2048x4096x4096")
    return Gemm("u", tokens, in_channels, out_channels)

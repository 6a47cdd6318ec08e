"""Inputs and results of a simulation of streams, the same for every simulator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .packing import Words, to_integers

STALL_LIMIT_CYCLES = 1000
"""Default number of cycles without a transfer after which a simulation raises `StalledError`."""

Payloads: TypeAlias = Mapping[str, Sequence[int] | Words]
"""Payloads to send on each input, in order, as integers or as words (see `packing`)."""

Pauses: TypeAlias = Mapping[str, Sequence[bool]]
"""Clock cycles in which each port pauses: an input then offers nothing new, an output accepts nothing.

The sequence repeats. A port that is not named never pauses.
"""


class StalledError(RuntimeError):
    """No transfer for the number of cycles that a simulation waits, although payloads are left to send or receive."""


@dataclass(frozen=True, eq=False)
class Transfers:
    """Transfers of one stream.

    Attributes
    ----------
    words : uint32 ``[n, words]``
        Payloads, packed by the layout of the stream.
    times : int64 ``[n]``
        Clock cycle of each transfer, counted from 0.
    """

    words: Words
    times: NDArray[np.int64]

    @cached_property
    def payloads(self) -> list[int]:
        """Payloads as integers."""
        return to_integers(self.words)

    @cached_property
    def cycles(self) -> list[int]:
        """Clock cycles of `times` as a list."""
        return self.times.tolist()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Transfers)
            and np.array_equal(self.words, other.words)
            and np.array_equal(self.times, other.times)
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]


@dataclass(frozen=True)
class StreamRun:
    """Result of a simulation of streams.

    Attributes
    ----------
    transfers : `dict` of port to `Transfers`
        Transfers of every input and output.
    flags : `dict` of port to `int`
        Values of the requested ports, one cycle after the last transfer.
    """

    transfers: dict[str, Transfers]
    flags: dict[str, int]

"""What a simulation of streams is given and what it returns, whichever simulator runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .packing import Words, to_integers

STALL_LIMIT_CYCLES = 1000
"""Cycles without a transfer after which a simulation gives up, unless it is told to be more patient."""

Payloads: TypeAlias = Mapping[str, Sequence[int] | Words]
"""Of each input, the payloads to send, in order, as integers or as words (see `packing`)."""

Pauses: TypeAlias = Mapping[str, Sequence[bool]]
"""Of each port, in which clock cycles it pauses: an input then offers nothing new, an output takes nothing.

The sequence repeats. A port that is not named never pauses.
"""


class StalledError(RuntimeError):
    """No stream moved for as many cycles as a simulation waits, although something was left to send or receive."""


@dataclass(frozen=True, eq=False)
class Transfers:
    """What moved through one stream.

    Attributes
    ----------
    words : uint32 ``[n, words]``
        The payloads, packed as the payload's layout packs them.
    times : int64 ``[n]``
        The clock cycle of each, counted from 0.
    """

    words: Words
    times: NDArray[np.int64]

    @cached_property
    def payloads(self) -> list[int]:
        """The payloads as integers."""
        return to_integers(self.words)

    @cached_property
    def cycles(self) -> list[int]:
        """`times` as a list."""
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
    """What a simulation saw.

    Attributes
    ----------
    transfers : `dict` of port to `Transfers`
        For the inputs as well as for the outputs.
    flags : `dict` of port to `int`
        The ports that were asked for, one cycle after the last transfer.
    """

    transfers: dict[str, Transfers]
    flags: dict[str, int]

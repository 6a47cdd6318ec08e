"""What a simulation of streams is given and what it returns, whichever simulator runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

STALL_LIMIT_CYCLES = 1000
"""Cycles without a transfer after which a simulation gives up."""

Payloads: TypeAlias = Mapping[str, Sequence[int]]
"""Of each input, the payloads to send, in order, each packed into an integer."""

Pauses: TypeAlias = Mapping[str, Sequence[bool]]
"""Of each port, in which clock cycles it pauses: an input then offers nothing new, an output takes nothing.

The sequence repeats. A port that is not named never pauses.
"""


class StalledError(RuntimeError):
    """No stream moved for `STALL_LIMIT_CYCLES` cycles, although something was left to send or receive."""


@dataclass
class Transfers:
    """What moved through one stream.

    Attributes
    ----------
    payloads : `list[int]`
        The payloads, packed as the payload's layout packs them.
    cycles : `list[int]`
        The clock cycle of each, counted from 0.
    """

    payloads: list[int] = field(default_factory=list[int])
    cycles: list[int] = field(default_factory=list[int])


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

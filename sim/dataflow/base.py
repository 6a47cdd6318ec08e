"""The protocol of dataflows.

The array works in steps. In a step each element takes one group of input channels of one token and one output channel. A dataflow
says which of them the rows and columns of the array, and several arrays, take in the same step, and what a step costs.
"""

from typing import NamedTuple, Protocol

from ...formats.activations.stored import Stored
from ..config.architecture import Architecture
from ..config.array import Array, DataflowName
from ..memory.dram import Tensor


class ArrayTile(NamedTuple):
    """Tokens, groups of input channels and output channels that all arrays take in one step."""

    tokens: int
    groups: int
    channels: int


class Dataflow(Protocol):
    """Order of an array's work: the numbers that its elements hold, and the cycles and traffic of the others."""

    @property
    def name(self) -> DataflowName:
        """Name in architecture files."""
        ...

    @property
    def held(self) -> Tensor:
        """Tensor that the elements hold: ``results`` if outputs stay until their reduction is complete."""
        ...

    def tile(self, array: Array) -> ArrayTile:
        """Work of one step."""
        ...

    def step_cycles(self, machine: Architecture, stored: Stored) -> int:
        """Cycles from one step to the next, for one digit of the weights."""
        ...

    def preload_cycles(self, machine: Architecture, stored: Stored) -> int:
        """Cycles to fill the elements with the operand that they hold; 0 if they hold outputs."""
        ...

    def leaving_columns(self, array: Array) -> int:
        """Cycles in which the outputs of the last step leave an array, one column of outputs a cycle."""
        ...

"""Output stationary: rows are tokens, columns are output channels, and the groups of the reduction stream past.

The circuit of `rtl` has this dataflow.
"""

from typing import Literal

from ...formats.activations.stored import Stored
from ..config.architecture import Architecture
from ..config.array import Array
from .base import ArrayTile


class OutputStationary:
    """Outputs stay in the elements until their reduction is complete, and leave one column a cycle."""

    name: Literal["output-stationary"] = "output-stationary"
    held: Literal["results"] = "results"

    def tile(self, array: Array) -> ArrayTile:
        """Tokens of all rows, one group, and the output channels of all columns."""
        return ArrayTile(array.rows * array.token_arrays, 1, array.columns * array.channel_arrays)

    def step_cycles(self, machine: Architecture, stored: Stored) -> int:
        """Cycles of a group: the longest of elements, weights through their port, and planes through theirs."""
        return max(
            machine.pass_cycles(stored),
            machine.plane_cycles * machine.working_cycles(stored),
        )

    def preload_cycles(self, machine: Architecture, stored: Stored) -> int:
        """None: sums start at zero."""
        return 0

    def leaving_columns(self, array: Array) -> int:
        """All columns, one after the other."""
        return array.columns

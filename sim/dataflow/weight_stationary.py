"""Weight stationary: rows are groups of input channels, columns are output channels, and tokens stream past.

The sum of a token moves down a column, from row to row. It leaves the array after the last row.
"""

from typing import Literal

from ...formats.activations.stored import Stored
from ...formats.latency.array import preload_cycles
from ..config.architecture import Architecture
from ..config.array import Array
from .base import ArrayTile


class WeightStationary:
    """Weights stay in the elements while the tokens of a tile stream past."""

    name: Literal["weight-stationary"] = "weight-stationary"
    held: Literal["weights"] = "weights"

    def tile(self, array: Array) -> ArrayTile:
        """A token (of each array if they share tokens), a group a row, and the output channels of all columns."""
        return ArrayTile(array.token_arrays, array.rows, array.columns * array.channel_arrays)

    def step_cycles(self, machine: Architecture, stored: Stored) -> int:
        """Cycles of a token: the elements, or the planes of all rows through the port if several arrays share it."""
        return machine.plane_cycles * machine.working_cycles(stored)

    def preload_cycles(self, machine: Architecture, stored: Stored) -> int:
        """A row of weights after the other through the port of the weight buffer."""
        return preload_cycles(machine.array.rows, machine.weight_load_cycles)

    def leaving_columns(self, array: Array) -> int:
        """The sums of all columns leave in the same cycle."""
        return 1

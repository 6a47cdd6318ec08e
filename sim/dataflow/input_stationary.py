"""Input stationary: rows are groups of input channels, columns are tokens, and output channels stream past.

The mirror of weight stationary: elements hold activations, and the sums of an output channel move down the columns.
"""

from typing import Literal

from ...formats.activations.stored import Stored
from ...formats.latency.array import preload_cycles
from ..config.architecture import Architecture
from ..config.array import Array
from .base import ArrayTile


class InputStationary:
    """Activations stay in the elements while the output channels of a tile stream past."""

    name: Literal["input-stationary"] = "input-stationary"
    held: Literal["activations"] = "activations"

    def tile(self, array: Array) -> ArrayTile:
        """A token a column, a group a row, and an output channel (of each array if they share output channels)."""
        return ArrayTile(array.columns * array.token_arrays, array.rows, array.channel_arrays)

    def step_cycles(self, machine: Architecture, stored: Stored) -> int:
        """Cycles of an output channel: the elements, or the weights of all rows through the port of their buffer."""
        array, digits = machine.array, machine.weight_digits
        bits = array.rows * array.channel_arrays * machine.group_size * machine.weights.bits
        decode = -(-machine.weights.decode_cycles * array.rows // array.columns)
        load = max(-(-bits // machine.weight_buffer.port_bits), decode)
        return max(machine.working_cycles(stored), -(-load // digits))

    def preload_cycles(self, machine: Architecture, stored: Stored) -> int:
        """A row of activations after the other through the port of the activation buffer."""
        array = machine.array
        bits, _ = machine.token_footprint(machine.group_size, stored)
        load = -(-bits * array.columns * array.token_arrays // machine.activation_buffer.port_bits)
        return preload_cycles(array.rows, load)

    def leaving_columns(self, array: Array) -> int:
        """The sums of all columns leave in the same cycle."""
        return 1

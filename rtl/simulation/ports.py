"""The ports of a circuit, under the names that its netlist gives them."""

from dataclasses import dataclass

from amaranth.hdl import Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow


@dataclass(frozen=True)
class CircuitPort:
    """A port of the top module: its name in the netlist, its width in bits, and whether it is an input."""

    name: str
    width: int
    is_input: bool

    @property
    def words(self) -> int:
        """Words of 32 bits that hold its value."""
        return -(-self.width // 32)


def ports(design: wiring.Component) -> list[CircuitPort]:
    """The ports of `design`, without clock and reset. Constants, such as an always ready `ready`, are no ports."""
    found: list[CircuitPort] = []
    for path, member, value in design.signature.flatten(design):
        value = Value.cast(value)
        if isinstance(value, Signal):
            found.append(CircuitPort("__".join(map(str, path)), len(value), member.flow == Flow.In))
    return found

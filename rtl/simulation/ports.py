"""Ports of a circuit, with their names in the netlist."""

from dataclasses import dataclass

from amaranth.hdl import Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow


@dataclass(frozen=True)
class CircuitPort:
    """Port of the top module: name in the netlist, width in bits, direction."""

    name: str
    width: int
    is_input: bool

    @property
    def words(self) -> int:
        """Number of 32-bit words that hold a value of the port."""
        return -(-self.width // 32)


def ports(design: wiring.Component) -> list[CircuitPort]:
    """Ports of a circuit without clock and reset. A constant, such as an always-1 `ready`, has no port."""
    found: list[CircuitPort] = []
    for path, member, value in design.signature.flatten(design):
        value = Value.cast(value)
        if isinstance(value, Signal):
            found.append(CircuitPort("__".join(map(str, path)), len(value), member.flow == Flow.In))
    return found

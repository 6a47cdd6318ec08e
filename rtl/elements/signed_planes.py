"""The signs of a row of units, kept and applied once for all that share its planes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..interfaces import MAX_LANES


class SignedPlanes(wiring.Component):
    """Mantissa planes as sign XOR bit, from a row's sign plane and mantissa planes. The sign plane passes as it is.

    With x = sign XOR bit, ``(-1)**sign * bit = x - sign``: a `DotProduct` with ``signs="row"`` needs no signs of its own.

    Timing: `signed` follows `plane` in the same cycle.

    Parameters
    ----------
    lanes : `int`
        1 to 128.
    operand_isolation : `bool`
        Hold `signed` at zero while neither `load` nor `step` is high.

    Members
    -------
    load : `In(1)`
        `plane` is a group's sign plane: keep it from the next cycle on.
    step : `In(1)`
        `plane` is a mantissa plane.
    plane : `In(lanes)`
    signed : `Out(lanes)`
    """

    load: Signal
    step: Signal
    plane: Signal
    signed: Signal

    def __init__(self, *, lanes: int = 64, operand_isolation: bool = False) -> None:
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        self.operand_isolation = operand_isolation
        super().__init__({"load": In(1), "step": In(1), "plane": In(lanes), "signed": Out(lanes)})

    def elaborate(self, platform: object) -> Module:
        """Keep the sign plane and apply it to the planes that follow."""
        m = Module()
        signs = Signal(self.lanes)
        with m.If(self.load):
            m.d.sync += signs.eq(self.plane)
        signed = self.plane ^ Mux(self.load, 0, signs)
        if self.operand_isolation:
            signed &= (self.load | self.step).replicate(self.lanes)
        m.d.comb += self.signed.eq(signed)
        return m

"""The part of a dot product's signs that does not depend on the weights, computed once for all who share a plane."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..arithmetic.pipeline import Pipeline
from ..interfaces import EXPONENT_BITS, MAX_LANES, Stream, plane_layout


def counted_plane_layout(lanes: int) -> data.StructLayout:
    """`interfaces.plane_layout`, and how many ones of a mantissa plane belong to negative elements.

    Members
    -------
    plane, exponent, last
        See `plane_layout`.
    negatives : `range(lanes + 1)`
        Not read with the sign plane.
    """
    return data.StructLayout(
        {
            "plane": unsigned(lanes),
            "exponent": unsigned(EXPONENT_BITS),
            "last": unsigned(1),
            "negatives": unsigned(lanes.bit_length()),
        }
    )


def count_negatives(planes: Sequence[int], lanes: int) -> list[int]:
    """Packed payloads of `counted_plane_layout(lanes)` from those of `plane_layout(lanes)`: what `NegativeCounter` sends."""
    mask = (1 << lanes) - 1
    fields = plane_layout(lanes).size
    counted: list[int] = []
    signs: int | None = None
    for word in planes:
        if signs is None:
            signs = word & mask
            counted.append(word)
        else:
            counted.append(word | (word & signs).bit_count() << fields)
            if word >> fields - 1:
                signs = None
    return counted


class NegativeCounter(wiring.Component):
    """Counts the ones of each mantissa plane that belong to negative elements.

    A negative element adds its weight's complement, and one: ``-w = ~w + 1``. The ones of a plane are this count, the
    same for all output channels; a row of elements with ``signs="shared"`` takes it from here.

    Timing: a plane per cycle; it leaves in the next.

    Parameters
    ----------
    lanes : `int`
        1 to 128.

    Members
    -------
    planes : `In(stream.Signature(plane_layout(lanes)))`
    counted : `Out(stream.Signature(counted_plane_layout(lanes)))`
    """

    planes: Stream
    counted: Stream

    def __init__(self, *, lanes: int = 64) -> None:
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        super().__init__(
            {
                "planes": In(stream.Signature(plane_layout(lanes))),
                "counted": Out(stream.Signature(counted_plane_layout(lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Keep the sign plane and count the negative ones of each mantissa plane."""
        m = Module()
        pipeline = Pipeline(m, self.planes, self.counted)
        payload = self.planes.payload
        signs = Signal(self.lanes)
        count = Signal(self.lanes.bit_length())
        first = pipeline.first(payload.last)
        ones = payload.plane & signs
        m.d.comb += count.eq(sum(ones[1:], ones[0]))
        with m.If(first & self.planes.valid & self.planes.ready):
            m.d.sync += signs.eq(payload.plane)
        held = pipeline.cut(
            plane=payload.plane, exponent=payload.exponent, last=payload.last, negatives=Mux(first, 0, count)
        )
        names = ("plane", "exponent", "last", "negatives")
        m.d.comb += [getattr(self.counted.payload, name).eq(value) for name, value in zip(names, held, strict=True)]
        pipeline.finish()
        return m

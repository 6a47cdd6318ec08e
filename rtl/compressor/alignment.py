"""The parts of a compressor lane: field extractor, maximum-exponent tree, parallel-to-serial mantissa aligner."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ...formats.numeric.alignment import SIGNIFICAND_BITS
from ..interfaces import EXPONENT_BITS, FP16, MAX_LANES, MAX_MANTISSA_BITS


class FieldExtractor(wiring.Component):
    """Takes an FP16 number apart: the value is ``(-1)**sign * significand * 2**(exponent - 25)``.

    Combinational. An infinity or NaN becomes the largest finite magnitude with its sign.

    Members
    -------
    value : `In(FP16)`
    sign : `Out(1)`
    exponent : `Out(5)`
        The effective exponent, 1 to 30: the exponent field, 1 of a subnormal.
    significand : `Out(11)`
        With the hidden bit.
    nonfinite : `Out(1)`
        The value was an infinity or NaN.
    """

    value: Any
    sign: Signal
    exponent: Signal
    significand: Signal
    nonfinite: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "value": In(FP16),
                "sign": Out(1),
                "exponent": Out(EXPONENT_BITS),
                "significand": Out(SIGNIFICAND_BITS),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Split the fields and replace infinities and NaN."""
        m = Module()
        field, fraction = self.value.exponent, self.value.fraction
        normal = field.any()
        m.d.comb += [
            self.nonfinite.eq(field.all()),
            self.sign.eq(self.value.sign),
            self.significand.eq(Cat(fraction | self.nonfinite.replicate(len(fraction)), normal)),
            self.exponent.eq(Cat((field[0] | ~normal) & ~self.nonfinite, field[1:])),
        ]
        return m


def maximum(m: Module, values: Sequence[Value], bits: int) -> Value:
    """Largest of unsigned `values` of `bits` bits.

    Bit by bit from the top, those that lack a bit that another candidate has drop out: an OR tree per bit, about half
    the gates of a tree of comparators.
    """
    candidates: Value = Const(2 ** len(values) - 1)
    result: list[Value] = []
    for bit in reversed(range(bits)):
        hits = Signal(len(values), name=f"hits_{bit}")
        m.d.comb += hits.eq(candidates & Cat(value[bit] for value in values))
        candidates = Mux(hits.any(), hits, candidates)
        result.insert(0, hits.any())
    return Cat(result)


class MaximumExponent(wiring.Component):
    """The largest exponent of a group. Combinational, see `maximum`.

    Parameters
    ----------
    lanes : `int`
        Elements per group, 1 to 128.

    Members
    -------
    exponents : `In(ArrayLayout(unsigned(5), lanes))`
    largest : `Out(5)`
    """

    exponents: Any
    largest: Signal

    def __init__(self, *, lanes: int = 64) -> None:
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        super().__init__({"exponents": In(data.ArrayLayout(EXPONENT_BITS, lanes)), "largest": Out(EXPONENT_BITS)})

    def elaborate(self, platform: object) -> Module:
        """Search the maximum bit by bit."""
        m = Module()
        exponents = [self.exponents[lane] for lane in range(self.lanes)]
        m.d.comb += self.largest.eq(maximum(m, exponents, EXPONENT_BITS))
        return m


class MantissaAligner(wiring.Component):
    """Sends an element's mantissa serially, most significant bit first, aligned to the group's shared exponent.

    The difference to the shared exponent is counted down while zeros are sent; then follows the significand. That
    truncates toward zero wherever the group ends.

    Timing: an element is taken with `load`; in a cycle of `align`, at the earliest the next one, the shared exponent is
    read; from the cycle after on there is a bit of the mantissa in every cycle, which `shift` replaces by the next.

    Parameters
    ----------
    max_mantissa_bits : `int`
        Largest M, 1 to 16.
    nearest : `bool`
        Round the significand to nearest even in the cycle of `align`, saturating at ``2**M - 1``.

    Members
    -------
    load, align, shift : `In(1)`
        At most one of them, but that `load` goes with the last bit's `shift`.
    significand : `In(11)`
        With the hidden bit; read by `load`.
    exponent : `In(5)`
        Effective exponent; read by `load`.
    shared_exponent : `In(5)`
        Read by `align`.
    mantissa_bits : `In(range(max_mantissa_bits + 1))`
        M; read by `align`. Only with `nearest`.
    own_exponent : `Out(5)`
        The element's exponent, from the cycle after `load` until `align`.
    bit : `Out(1)`
    """

    load: Signal
    align: Signal
    shift: Signal
    significand: Signal
    exponent: Signal
    shared_exponent: Signal
    mantissa_bits: Signal
    own_exponent: Signal
    bit: Signal

    def __init__(self, *, max_mantissa_bits: int = MAX_MANTISSA_BITS, nearest: bool = False) -> None:
        self.nearest = bool(nearest)
        self.max_mantissa_bits = check_integer("max_mantissa_bits", max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        members = {
            "load": In(1),
            "align": In(1),
            "shift": In(1),
            "significand": In(SIGNIFICAND_BITS),
            "exponent": In(EXPONENT_BITS),
            "shared_exponent": In(EXPONENT_BITS),
            "own_exponent": Out(EXPONENT_BITS),
            "bit": Out(1),
        }
        super().__init__(members | ({"mantissa_bits": In(max_mantissa_bits.bit_length())} if nearest else {}))

    def elaborate(self, platform: object) -> Module:
        """Count down the exponent difference, then shift the significand out."""
        m = Module()
        remaining = Signal(SIGNIFICAND_BITS)
        countdown = self.own_exponent  # an exponent until `align`, from then on the countdown
        distance = Signal(EXPONENT_BITS)
        m.d.comb += [distance.eq(self.shared_exponent - countdown), self.bit.eq((countdown == 0) & remaining[-1])]
        with m.If(self.align):
            m.d.sync += countdown.eq(distance)
            if self.nearest:
                self._round(m, remaining, distance)
        with m.If(self.shift):
            with m.If(countdown == 0):
                m.d.sync += remaining.eq(remaining << 1)
            with m.Else():
                m.d.sync += countdown.eq(countdown - 1)
        with m.If(self.load):
            m.d.sync += [remaining.eq(self.significand), countdown.eq(self.exponent)]
        return m

    def _round(self, m: Module, significand: Signal, distance: Value) -> None:
        """Round the significand to the bits that its countdown will leave of it."""
        dropped = Signal(range(SIGNIFICAND_BITS + 2))
        excess = distance + SIGNIFICAND_BITS - self.mantissa_bits
        # from 12 bits dropped on, less than half a unit is left
        limited = Mux(excess > SIGNIFICAND_BITS, SIGNIFICAND_BITS + 1, excess)
        split: Value = Cat(Const(0, SIGNIFICAND_BITS + 1), significand)
        for stage, selected in enumerate(dropped):
            split = Mux(selected, split[1 << stage :], split)
        kept, guard, rest = split[SIGNIFICAND_BITS + 1 :], split[SIGNIFICAND_BITS], split[:SIGNIFICAND_BITS].any()
        up = guard & (rest | kept[0])
        rounded = Signal(SIGNIFICAND_BITS + 1)
        m.d.comb += [
            dropped.eq(Mux(excess < 0, 0, limited)),
            rounded.eq(significand + Cat((dropped == bit) & up for bit in range(SIGNIFICAND_BITS + 1))),
        ]
        with m.If(~rounded[-1]):
            m.d.sync += significand.eq(rounded)
        with m.Elif(distance == 0):
            m.d.sync += significand.eq(2**SIGNIFICAND_BITS - 1)
        with m.Else():
            # it has reached the next power of two: one step less to count
            m.d.sync += [significand.eq(rounded >> 1), self.own_exponent.eq(distance - 1)]

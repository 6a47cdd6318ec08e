"""The vector unit's functions as a circuit: exponential, reciprocal, reciprocal square root."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...formats.vector.functions import (
    ARGUMENT_BITS,
    BIAS,
    LARGEST_EXPONENT,
    LIMIT_EXPONENT,
    LOG2_E_BITS,
    SEGMENT_BITS,
    SMALLEST_EXPONENT,
    STEP_BITS,
    TABLE_BITS,
    VectorFunction,
    log2_e,
    table,
)
from ..arithmetic.fp import FP32, significand

_SLOPE_BITS = TABLE_BITS - SEGMENT_BITS + 2
_POWER_BITS = SEGMENT_BITS + STEP_BITS


class FunctionEvaluator(wiring.Component):
    """Applies a function to an FP32 value: `formats.vector.functions.evaluate`, bit for bit.

    A table of chords for each function, and one multiplier and adder that all share. The first stage brings the argument
    into the table's range, the second looks up and interpolates.

    Timing: a value per cycle, its result two cycles later, while `advance` is high.

    Members
    -------
    advance : `In(1)`
        Both stages move on; otherwise everything stands.
    function : `In(2)`
        A `VectorFunction`.
    value : `In(FP32)`
        Zero or normal.
    result : `Out(FP32)`
        The function's value with 18 significant bits; with ``VectorFunction.IDENTITY`` the value itself.
    """

    advance: Signal
    function: Signal
    value: Any
    result: Any

    def __init__(self) -> None:
        super().__init__({"advance": In(1), "function": In(2), "value": In(FP32), "result": Out(FP32)})

    def elaborate(self, platform: object) -> Module:
        """Reduce the argument, then interpolate in the function's table."""
        m = Module()
        segment = Signal(SEGMENT_BITS + 1)
        step = Signal(STEP_BITS)
        exponent = Signal(signed(9))
        sign = Signal()
        limited = Signal()
        function = Signal(2)
        kept: Any = Signal(FP32)
        next_segment, next_step, next_exponent, next_limited = self._reduce(m)
        interpolated = self._interpolate(m, function, segment, step, exponent, sign, limited)
        with m.If(self.advance):
            m.d.sync += [
                segment.eq(next_segment),
                step.eq(next_step),
                exponent.eq(next_exponent),
                limited.eq(next_limited),
                sign.eq(self.value.sign & (self.function == VectorFunction.RECIPROCAL)),
                function.eq(self.function),
                kept.eq(self.value),
                self.result.eq(Mux(function == VectorFunction.IDENTITY, kept, interpolated)),
            ]
        return m

    def _reduce(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """Segment, step, the result's exponent, and whether that stands for the whole result."""
        field, fraction = self.value.exponent, self.value.fraction
        segment = Signal(SEGMENT_BITS + 1)
        step = Signal(STEP_BITS)
        exponent = Signal(signed(9))
        limited = Signal()
        own = Signal(signed(9))
        root = self.function == VectorFunction.RECIPROCAL_ROOT
        m.d.comb += own.eq(field - BIAS)
        with m.If(self.function == VectorFunction.EXPONENTIAL):
            power = self._power(m)
            above = field >= BIAS + LIMIT_EXPONENT
            limit = Mux(self.value.sign, SMALLEST_EXPONENT, LARGEST_EXPONENT)
            m.d.comb += [
                Cat(step, segment[:SEGMENT_BITS]).eq(power),
                exponent.eq(Mux(above, limit, power >> _POWER_BITS)),
                limited.eq(above),
            ]
        with m.Else():
            m.d.comb += [
                Cat(step, segment[:SEGMENT_BITS]).eq(fraction[-_POWER_BITS:]),
                segment[-1].eq(root & own[0]),
                limited.eq((field == 0) | (root & self.value.sign)),
                exponent.eq(Mux(limited, LARGEST_EXPONENT, Mux(root, -(own >> 1), -own))),
            ]
        return segment, step, exponent, limited

    def _power(self, m: Module) -> Value:
        """The value times log2(e), with `STEP_BITS` more fraction bits than choose a segment."""
        bits = ARGUMENT_BITS + LIMIT_EXPONENT
        shifted = Signal(bits)
        distance = Signal(range(bits + 1))
        largest = BIAS + LIMIT_EXPONENT - 1
        m.d.comb += [
            distance.eq(Mux(self.value.exponent < largest - bits, bits, (largest - self.value.exponent)[:5])),
            shifted.eq(significand(self.value)[-bits:] >> distance),
        ]
        magnitude = (shifted * log2_e())[ARGUMENT_BITS + LOG2_E_BITS - _POWER_BITS :]
        power = Signal(signed(_POWER_BITS + LIMIT_EXPONENT + 2))
        m.d.comb += power.eq(Mux(self.value.sign, -magnitude, magnitude))
        return power

    def _interpolate(
        self, m: Module, function: Value, segment: Value, step: Value, exponent: Value, sign: Value, limited: Value
    ) -> Value:
        """The function's value as an FP32 number."""
        tables = [table(each) for each in list(VectorFunction)[1:]]
        low = segment[:SEGMENT_BITS]
        starts = [_read(each.starts, low if len(each.starts) == 1 << SEGMENT_BITS else segment) for each in tables]
        slopes = [_read(each.slopes, low if len(each.slopes) == 1 << SEGMENT_BITS else segment) for each in tables]
        start = Signal(TABLE_BITS + 1)
        slope = Signal(signed(_SLOPE_BITS))
        with m.Switch(function):
            for each, start_read, slope_read in zip(list(VectorFunction)[1:], starts, slopes, strict=True):
                with m.Case(each):
                    m.d.comb += [start.eq(start_read), slope.eq(slope_read)]
        value = Signal(TABLE_BITS + 1)
        m.d.comb += value.eq(Mux(limited, 1 << TABLE_BITS, start + ((slope * step) >> STEP_BITS)))
        top = value[-1]
        fraction = Mux(top, value[:-1], value[:-1] << 1)[:TABLE_BITS]
        return Cat(Const(0, 23 - TABLE_BITS), fraction, (exponent + BIAS - ~top)[:8], sign)


def _read(values: list[int], index: Value) -> Value:
    """A constant table."""
    width = signed(_SLOPE_BITS) if min(values) < 0 else TABLE_BITS + 1
    return Array(Const(value, width) for value in values)[index]

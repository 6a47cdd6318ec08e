# amaranth: UnusedElaboratable=no
"""Operators of integer-only inference (I-LLM, arXiv 2405.17849) as circuits: a bit of the result per cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.checks import check_integer
from ..interfaces import Stream

MAX_BITS = 64


class SerialDivider(wiring.Component):
    """Divides unsigned integers by restoring subtraction, a bit of the quotient per cycle.

    Timing: the result is valid ``quotient_bits + 1`` cycles after the operands are taken;
    the next operands are taken with it.

    Parameters
    ----------
    numerator_bits, denominator_bits, quotient_bits : `int`
        1 to 64; the quotient is no wider than the numerator.

    Members
    -------
    operands : `In(stream.Signature(StructLayout({"numerator": ..., "denominator": ...})))`
        The denominator is not 0.
    result : `Out(stream.Signature(StructLayout({"quotient": ..., "remainder": ..., "saturated": 1})))`
        `saturated` is set if the quotient has more bits than that; the rest is then not meaningful.
    """

    operands: Stream
    result: Stream

    def __init__(self, *, numerator_bits: int, denominator_bits: int, quotient_bits: int) -> None:
        self.numerator_bits = check_integer("numerator_bits", numerator_bits, 1, MAX_BITS)
        self.denominator_bits = check_integer("denominator_bits", denominator_bits, 1, MAX_BITS)
        self.quotient_bits = check_integer("quotient_bits", quotient_bits, 1, numerator_bits)
        super().__init__(
            {
                "operands": In(
                    stream.Signature(data.StructLayout({"numerator": numerator_bits, "denominator": denominator_bits}))
                ),
                "result": Out(
                    stream.Signature(
                        data.StructLayout({"quotient": quotient_bits, "remainder": denominator_bits, "saturated": 1})
                    )
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Subtract and shift, a bit of the quotient per cycle."""
        m = Module()
        operands, result = self.operands.payload, self.result.payload
        denominator = Signal(self.denominator_bits)
        remainder = Signal(self.denominator_bits)
        # the numerator's lower bits leave at the top while the quotient's enter below
        quotient = Signal(self.quotient_bits)
        saturated = Signal()
        busy = SerialControl(m, self.operands, self.result, self.quotient_bits)
        shifted = Cat(quotient[-1], remainder)
        fits = shifted >= denominator
        m.d.comb += [result.quotient.eq(quotient), result.remainder.eq(remainder), result.saturated.eq(saturated)]
        with m.If(busy.steps):
            m.d.sync += [
                remainder.eq(Mux(fits, shifted - denominator, shifted)),
                quotient.eq(Cat(fits, quotient[:-1])),
            ]
        with m.If(busy.takes):
            upper = operands.numerator[self.quotient_bits :]
            m.d.sync += [
                denominator.eq(operands.denominator),
                quotient.eq(operands.numerator[: self.quotient_bits]),
                remainder.eq(upper),
                saturated.eq(upper >= operands.denominator),
            ]
        return m


class SerialControl:
    """Lets an operator take operands, step `count` times, and hold its result until it is taken.

    Attributes
    ----------
    takes, steps
        The operator takes operands, or makes a step, in this cycle.
    """

    def __init__(self, m: Module, operands: Stream, result: Stream, count: int) -> None:
        remaining = Signal(range(count + 1), name="remaining")
        occupied = Signal(name="occupied")
        self.takes = Signal(name="takes")
        self.steps = Signal(name="steps")
        m.d.comb += [
            result.valid.eq(occupied & (remaining == 0)),
            operands.ready.eq(~occupied | (result.valid & result.ready)),
            self.takes.eq(operands.valid & operands.ready),
            self.steps.eq(remaining != 0),
        ]
        with m.If(self.steps):
            m.d.sync += remaining.eq(remaining - 1)
        with m.Elif(result.valid & result.ready):
            m.d.sync += occupied.eq(0)
        with m.If(self.takes):
            m.d.sync += [occupied.eq(1), remaining.eq(count)]


class DiExp(wiring.Component):
    """DI-Exp: the exponential of a number of steps below zero (I-LLM, Algorithm 1; `formats.integer_only.di_exp`).

    ``e = (t + (r >> 1)) >> q`` for ``x = r - q * t``, the quotient by a `SerialDivider` of as many bits as can shift e
    to something but 0. The number t of steps in a factor of two is that of the row's scale, computed once.

    Timing: a result ``halving_bits + 1`` cycles after its operands, 5 by default.

    Parameters
    ----------
    input_bits : `int`
        Of the distance below zero, guard bits included, 2 to 62.
    steps_bits : `int`
        Of t, 2 to 32.

    Members
    -------
    operands : `In(stream.Signature(StructLayout({"distance": input_bits, "steps": steps_bits})))`
        ``-x`` shifted left by the guard bits, and t, which is at least 1.
    result : `Out(stream.Signature(unsigned(steps_bits)))`
        e, 0 to t.
    """

    operands: Stream
    result: Stream

    def __init__(self, *, input_bits: int = 18, steps_bits: int = 14) -> None:
        self.input_bits = check_integer("input_bits", input_bits, 2, 62)
        self.steps_bits = check_integer("steps_bits", steps_bits, 2, 32)
        self.halving_bits = steps_bits.bit_length()
        if self.halving_bits > input_bits:
            raise InputError(
                f"input_bits: {input_bits} is not valid; {steps_bits} bits of steps need {self.halving_bits}"
            )
        super().__init__(
            {
                "operands": In(stream.Signature(data.StructLayout({"distance": input_bits, "steps": steps_bits}))),
                "result": Out(stream.Signature(steps_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Divide, then shift the interpolated power."""
        m = Module()
        m.submodules.divider = divider = SerialDivider(
            numerator_bits=self.input_bits, denominator_bits=self.steps_bits, quotient_bits=self.halving_bits
        )
        steps = Signal(self.steps_bits)
        parts = divider.result.payload
        m.d.comb += [
            divider.operands.payload.numerator.eq(self.operands.payload.distance),
            divider.operands.payload.denominator.eq(self.operands.payload.steps),
            divider.operands.valid.eq(self.operands.valid),
            self.operands.ready.eq(divider.operands.ready),
            self.result.valid.eq(divider.result.valid),
            divider.result.ready.eq(self.result.ready),
            # r is minus the remainder, and shifting it right rounds down
            self.result.payload.eq(
                Mux(parts.saturated, 0, (steps - ((parts.remainder + 1) >> 1))[: self.steps_bits] >> parts.quotient)
            ),
        ]
        with m.If(self.operands.valid & self.operands.ready):
            m.d.sync += steps.eq(self.operands.payload.steps)
        return m


class IntegerSqrt(wiring.Component):
    """``floor(sqrt(a))``, a bit of the root per cycle (I-SQRT, I-LLM, Algorithm 4; `formats.integer_only.integer_sqrt`).

    Timing: the root is valid ``bits / 2 + 1`` cycles after the operand is taken.

    Parameters
    ----------
    bits : `int`
        Of the operand, even, 2 to 64.

    Members
    -------
    operand : `In(stream.Signature(unsigned(bits)))`
    root : `Out(stream.Signature(unsigned(bits // 2)))`
    """

    operand: Stream
    root: Stream

    def __init__(self, *, bits: int = 32) -> None:
        self.bits = check_integer("bits", bits, 2, MAX_BITS)
        if bits % 2:
            raise InputError(f"bits: {bits} is not valid; choose an even number")
        super().__init__({"operand": In(stream.Signature(bits)), "root": Out(stream.Signature(bits // 2))})

    def elaborate(self, platform: object) -> Module:
        """Try a bit of the root per cycle."""
        m = Module()
        count = self.bits // 2
        rest = Signal(self.bits)
        remainder = Signal(count + 1)
        root = Signal(count)
        control = SerialControl(m, self.operand, self.root, count)
        following = Cat(rest[-2:], remainder)
        trial = Cat(Const(1, 2), root)
        fits = Signal()
        m.d.comb += [fits.eq(following >= trial), self.root.payload.eq(root)]
        with m.If(control.steps):
            m.d.sync += [
                remainder.eq(Mux(fits, following - trial, following)),
                root.eq(Cat(fits, root[:-1])),
                rest.eq(rest << 2),
            ]
        with m.If(control.takes):
            m.d.sync += [rest.eq(self.operand.payload), remainder.eq(0), root.eq(0)]
        return m


def scores_layout(input_bits: int, steps_bits: int) -> data.StructLayout:
    """A score of a row.

    Members
    -------
    distance, steps
        See `DiExp`; the distance is that from the row's largest score.
    masked : `unsigned(1)`
        The position gets probability 0.
    last : `unsigned(1)`
        The row ends here.
    """
    return data.StructLayout({"distance": input_bits, "steps": steps_bits, "masked": 1, "last": 1})


def probabilities_layout(bits: int) -> data.StructLayout:
    """A probability, which stands for ``probability / 2**(bits - 1)``.

    Members
    -------
    probability : `unsigned(bits)`
    last : `unsigned(1)`
    """
    return data.StructLayout({"probability": bits, "last": 1})


class SoftmaxLane(wiring.Component):
    """One row of DI-ClippedSoftmax behind its requantisation (I-LLM, Algorithm 2; `formats.integer_only.integer_softmax`).

    First the row's scores: `DiExp` of each, its sum in an adder and its values in a memory. Then the row's
    probabilities, ``round(e * 2**(bits - 1) / sum)``, by a `SerialDivider`. A row has a score at distance 0 that is
    not masked.

    Timing: a row of n scores takes ``n * (halving_bits + probability_bits + 2) + 2`` cycles from its first score to its
    last probability; the next row's first score is taken in the cycle after that.

    Parameters
    ----------
    input_bits, steps_bits : `int`
        See `DiExp`.
    bits : `int`
        Of a probability, 2 to 16.
    depth : `int`
        The most scores of a row, 2 to 16384.

    Members
    -------
    scores : `In(stream.Signature(scores_layout(input_bits, steps_bits)))`
    probabilities : `Out(stream.Signature(probabilities_layout(bits)))`
    overflow : `Out(1)`
        Sticky: a row was longer than `depth`, and its probabilities are wrong.
    """

    scores: Stream
    probabilities: Stream
    overflow: Signal

    def __init__(self, *, input_bits: int = 18, steps_bits: int = 14, bits: int = 8, depth: int = 64) -> None:
        self.exponential = DiExp(input_bits=input_bits, steps_bits=steps_bits)
        self.steps_bits = steps_bits
        self.bits = check_integer("bits", bits, 2, 16)
        self.depth = check_integer("depth", depth, 2, 1 << 14)
        super().__init__(
            {
                "scores": In(stream.Signature(scores_layout(input_bits, steps_bits))),
                "probabilities": Out(stream.Signature(probabilities_layout(bits))),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Sum a row's exponentials, then divide each by the sum."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.steps_bits, depth=self.depth, init=[])
        count = Signal(range(self.depth + 1))
        total = Signal(self.steps_bits + (self.depth - 1).bit_length())
        dividing = Signal()
        write_port = memory.write_port()
        read_port = memory.read_port(domain="comb")
        self._sum_exponentials(m, write_port, count, total, dividing)
        self._divide(m, read_port, count, total, dividing)
        return m

    def _sum_exponentials(self, m: Module, write: Any, count: Signal, total: Signal, dividing: Signal) -> None:
        """Take the row's scores; keep and sum their exponentials."""
        m.submodules.exponential = exponential = self.exponential
        masked = Signal()
        last = Signal()
        done, full = exponential.result.valid, count == self.depth
        value = Mux(masked, 0, exponential.result.payload)
        m.d.comb += [
            exponential.operands.payload.distance.eq(self.scores.payload.distance),
            exponential.operands.payload.steps.eq(self.scores.payload.steps),
            exponential.operands.valid.eq(self.scores.valid & ~dividing & ~(done & last)),
            self.scores.ready.eq(exponential.operands.ready & ~dividing & ~(done & last)),
            exponential.result.ready.eq(1),
            write.addr.eq(count),
            write.data.eq(value),
            write.en.eq(done & ~full),
        ]
        with m.If(self.scores.valid & self.scores.ready):
            m.d.sync += [masked.eq(self.scores.payload.masked), last.eq(self.scores.payload.last)]
        with m.If(done):
            m.d.sync += [total.eq(total + value), dividing.eq(last)]
            with m.If(full):
                m.d.sync += self.overflow.eq(1)
            with m.Else():
                m.d.sync += count.eq(count + 1)

    def _divide(self, m: Module, read: Any, count: Signal, total: Signal, dividing: Signal) -> None:
        """Give the row's probabilities, then start a new one."""
        numerator_bits = len(total) + self.bits
        m.submodules.divider = divider = SerialDivider(
            numerator_bits=numerator_bits, denominator_bits=len(total), quotient_bits=self.bits
        )
        index = Signal(range(self.depth + 1))
        last = Signal()
        given = self.probabilities.valid & self.probabilities.ready
        m.d.comb += [
            read.addr.eq(index),
            divider.operands.payload.numerator.eq((read.data << (self.bits - 1)) + (total >> 1)),
            divider.operands.payload.denominator.eq(total),
            divider.operands.valid.eq(dividing & (index != count)),
            self.probabilities.payload.probability.eq(divider.result.payload.quotient),
            self.probabilities.payload.last.eq(last),
            self.probabilities.valid.eq(divider.result.valid),
            divider.result.ready.eq(self.probabilities.ready),
        ]
        with m.If(divider.operands.valid & divider.operands.ready):
            m.d.sync += [index.eq(index + 1), last.eq(index + 1 == count)]
        with m.If(given & last):
            m.d.sync += [dividing.eq(0), index.eq(0), count.eq(0), total.eq(0)]

# amaranth: UnusedElaboratable=no
"""Proofs that circuits behind streams lose, repeat and reorder nothing, whatever the bubbles and the back-pressure.

The solver chooses one payload by its number and follows it: its bits have to come out in their place, and nowhere
else. As the number, every payload and every pause are free, that holds for all payloads of the cycles looked at.
"""

from collections.abc import Callable

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Module, Mux, Signal, Value
from anda_codesign.rtl.array.buffers import RowBuffer
from anda_codesign.rtl.array.collector import OutputCollector
from anda_codesign.rtl.array.dispatch import WeightDispatcher
from anda_codesign.rtl.compressor.bpc import BitPlaneCompressor, BitPlaneCompressorParameters
from anda_codesign.rtl.interfaces import Stream

from ..formal import Claim, RefutedError, choose, count_transfers, keeps_rule, makes_progress, prove


def drive(m: Module, claim: Claim, source: Stream, sink: Stream) -> None:
    """Free inputs on one side, free back-pressure on the other; the stream rule on both."""
    m.d.comb += [
        source.valid.eq(claim.offered),
        Value.cast(source.payload).eq(claim.payload),
        sink.ready.eq(claim.ready),
        Assume(keeps_rule(m, source, "source")),
        Assert(keeps_rule(m, sink, "sink")),
        Assert(makes_progress(m, source, sink, 1)),
    ]


class CollectorTransposes(Claim):
    """Half number h of column number c leaves in its group, at its place."""

    def __init__(self, *, rows: int, lanes: int) -> None:
        self.rows, self.lanes = rows, lanes
        super().__init__({"offered": 1, "payload": 16 * rows, "ready": 1, "column": 4, "row": range(rows)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.circuit = circuit = OutputCollector(rows=self.rows, lanes=self.lanes)
        drive(m, self, circuit.columns, circuit.groups)
        column, row = choose(m, self.column), choose(m, self.row)
        m.d.comb += Assume(row < self.rows)
        taken, takes = count_transfers(m, circuit.columns, "columns")
        sent, _ = count_transfers(m, circuit.groups, "groups")
        half = Signal(16)
        with m.If(takes & (taken == column)):
            m.d.sync += half.eq(self.payload.word_select(row, 16))
        m.d.comb += Assert(taken <= (sent // self.rows + 1) * self.lanes)
        block, place = column // self.lanes, column % self.lanes
        with m.If(circuit.groups.valid):
            m.d.comb += Assert(taken >= (sent // self.rows + 1) * self.lanes)
            with m.If(sent == block * self.rows + row):
                m.d.comb += Assert(Value.cast(circuit.groups.payload).word_select(place, 16) == half)
        return m


class DispatcherGathers(Claim):
    """Codes of row number n leave in weights number n / 4, at their place."""

    def __init__(self, *, columns: int, lanes: int) -> None:
        self.columns, self.lanes = columns, lanes
        super().__init__({"offered": 1, "payload": columns * lanes + 1, "ready": 1, "row": 4})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.circuit = circuit = WeightDispatcher(columns=self.columns, lanes=self.lanes)
        drive(m, self, circuit.rows, circuit.weights)
        row, bits = choose(m, self.row), self.columns * self.lanes
        taken, takes = count_transfers(m, circuit.rows, "rows")
        sent, _ = count_transfers(m, circuit.weights, "weights")
        m.d.comb += Assert(taken <= 4 * (sent + 2))
        codes = Signal(bits)
        with m.If(takes & (taken == row)):
            m.d.sync += codes.eq(self.payload[:bits])
        with m.If(circuit.weights.valid):
            m.d.comb += Assert(taken >= 4 * (sent + 1))
            with m.If(sent == row[2:]):
                m.d.comb += Assert(Value.cast(circuit.weights.payload).word_select(row[:2], bits) == codes)
        return m


class BufferAnswers(Claim):
    """Read number n is answered by what the memory held, in order."""

    def __init__(self) -> None:
        super().__init__({"offered": 1, "payload": 15, "ready": 1, "read": 4, "write": 1, "address": 1, "data": 2})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.circuit = circuit = RowBuffer(width=2, depth=2)
        drive(m, self, circuit.read, circuit.answer)
        memory = [Signal(2, name=f"memory_{row}") for row in range(2)]
        m.d.comb += [
            circuit.write.valid.eq(self.write),
            circuit.write.payload.address.eq(self.address),
            circuit.write.payload.data.eq(self.data),
            Assume(circuit.read.payload.address < 2),
        ]
        with m.If(self.write):
            m.d.sync += Array(memory)[self.address].eq(self.data)
        read = choose(m, self.read)
        taken, takes = count_transfers(m, circuit.read, "reads")
        sent, _ = count_transfers(m, circuit.answer, "answers")
        m.d.comb += Assert(taken <= sent + 1)
        expected = Signal(3)
        with m.If(takes & (taken == read)):
            held = Array(memory)[circuit.read.payload.address[:1]]
            m.d.sync += expected.eq(Cat(held, circuit.read.payload.tag))
        with m.If(circuit.answer.valid):
            m.d.comb += Assert(taken > sent)
            with m.If(sent == read):
                m.d.comb += Assert(Value.cast(circuit.answer.payload) == expected)
        return m


class CompressorPacks(Claim):
    """Sign, exponent and leading bits of token n, of `rows` tokens with one value each, leave in the rows of that token."""

    def __init__(self, *, rows: int, mantissa_bits: int) -> None:
        self.rows, self.mantissa_bits = rows, mantissa_bits
        super().__init__({"offered": 1, "payload": 16, "ready": 1, "token": 4})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        circuit = BitPlaneCompressor(
            BitPlaneCompressorParameters(rows=self.rows, lanes=1, max_mantissa_bits=self.mantissa_bits)
        )
        m.submodules.circuit = circuit
        m.d.comb += circuit.groups.payload.mantissa_bits.eq(self.mantissa_bits)
        m.d.comb += [
            circuit.groups.valid.eq(self.offered),
            Value.cast(circuit.groups.payload.values).eq(self.payload),
            circuit.planes.ready.eq(self.ready),
            Assume(keeps_rule(m, circuit.groups, "source")),
            Assert(keeps_rule(m, circuit.planes, "sink")),
            Assert(makes_progress(m, circuit.groups, circuit.planes, 2)),
        ]
        token = choose(m, self.token)
        taken, takes = count_transfers(m, circuit.groups, "groups")
        plane = Signal(range(self.mantissa_bits + 1))
        block = Signal(4)
        value = Signal(16)
        with m.If(takes & (taken == token)):
            m.d.sync += value.eq(self.payload)
        last = plane == self.mantissa_bits
        with m.If(circuit.planes.valid & circuit.planes.ready):
            m.d.sync += [plane.eq(Mux(last, 0, plane + 1)), block.eq(block + last)]
        m.d.comb += Assert(taken <= (block + 3) * self.rows)
        row, exponent = token % self.rows, value[10:15]
        finite = Mux(exponent == 31, 0x7BFF, value[:15])
        bits = Cat(value[15], finite[10:15].any(), finite[10 - self.mantissa_bits + 1 : 10][::-1])
        with m.If(circuit.planes.valid):
            m.d.comb += [Assert(taken >= (block + 1) * self.rows), Assert(circuit.planes.payload.last == last)]
            with m.If(block == token // self.rows):
                m.d.comb += Assert(circuit.planes.payload.planes[row] == bits.bit_select(plane, 1))
                with m.If(plane == 0):
                    shared = finite[10:15] + ~finite[10:15].any()
                    m.d.comb += Assert(circuit.planes.payload.exponents[row] == shared)
        return m


CLAIMS: dict[str, tuple[Callable[[], Claim], int]] = {
    "collector": (lambda: CollectorTransposes(rows=2, lanes=2), 12),
    "collector of 3 rows": (lambda: CollectorTransposes(rows=3, lanes=2), 12),
    "dispatcher": (lambda: DispatcherGathers(columns=2, lanes=2), 14),
    "row buffer": (BufferAnswers, 8),
    "compressor": (lambda: CompressorPacks(rows=2, mantissa_bits=2), 12),
    "compressor of 3 rows": (lambda: CompressorPacks(rows=3, mantissa_bits=1), 12),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_nothing_is_lost_repeated_or_reordered(name: str) -> None:
    claim, cycles = CLAIMS[name]
    prove(claim(), cycles=cycles)


@pytest.mark.parametrize(
    ("name", "cell", "other"),
    [
        ("collector", "$eq", "$ne"),
        ("dispatcher", "$and", "$or"),
        ("row buffer", "$or", "$and"),
        ("compressor", "$eq", "$ne"),
    ],
)
def test_a_broken_circuit_is_refuted(name: str, cell: str, other: str) -> None:
    """With the first such operator of the circuit replaced, the proof fails."""

    def mutate(netlist: str) -> str:
        before, start, circuit = netlist.partition("module \\claim.circuit\n")
        return before + start + circuit.replace(f"cell {cell} ", f"cell {other} ", 1)

    claim, cycles = CLAIMS[name]
    with pytest.raises(RefutedError):
        prove(claim(), cycles=cycles, mutate=mutate)

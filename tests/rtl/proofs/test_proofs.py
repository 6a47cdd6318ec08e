# amaranth: UnusedElaboratable=no
"""Proofs about the arithmetic, for every input, by the SAT solver in Yosys; the bounds are each test's parameters."""

from functools import partial
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value, signed
from anda_codesign.rtl.arithmetic.adder_trees import adder_tree
from anda_codesign.rtl.compressor.alignment import maximum
from anda_codesign.rtl.compressor.bpc import BpcLane, BpcLaneParameters
from anda_codesign.rtl.elements.anda_pe import AndaPE, AndaPEParameters, DotProduct, DotProductParameters
from anda_codesign.rtl.interfaces import FP16

from ..formal import Claim, RefutedError, UnreachedError, count_transfers, keeps_rule, prove


class TreeIsASum(Claim):
    """The adder tree with complemented weights and carries sums the signed weights."""

    def __init__(self, *, lanes: int, weight_bits: int, off_by: int = 0) -> None:
        self.lanes, self.weight_bits, self.off_by = lanes, weight_bits, off_by
        super().__init__({"weights": lanes * weight_bits, "signs": lanes, "plane": lanes})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total: Value | int = self.off_by
        terms: list[Value] = []
        for lane in range(self.lanes):
            weight = self.weights.word_select(lane, self.weight_bits)
            chosen = Mux(self.signs[lane], -weight.as_signed(), weight.as_signed())
            total = Mux(self.plane[lane], chosen, 0) + total
            term = (weight ^ self.signs[lane].replicate(self.weight_bits)) & self.plane[lane].replicate(
                self.weight_bits
            )
            terms.append(term.as_signed())
        carries = self.plane & self.signs
        tree = Signal(signed(16))
        expected = Signal(signed(16))
        m.d.comb += [
            tree.eq(adder_tree(terms, self.weight_bits, [carries[lane] for lane in range(self.lanes)])),
            expected.eq(total),
            Assert(tree == expected),
        ]
        return m


class MaximumIsTheLargest(Claim):
    """The maximum is one of the values, and none is larger."""

    def __init__(self, *, count: int) -> None:
        self.count = count
        super().__init__({f"value_{index}": 5 for index in range(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        values = [getattr(self, f"value_{index}") for index in range(self.count)]
        largest = Signal(5)
        m.d.comb += [
            largest.eq(maximum(m, values, 5)),
            Assert(Cat(value == largest for value in values).any()),
            Assert(Cat(value <= largest for value in values).all()),
        ]
        return m


class LaneAligns(Claim):
    """Every plane that a compressor lane sends is a bit of the aligned mantissas (Anda paper, section III-B).

    Mantissa i is ``floor(significand * 2**(M - 11) / 2**(shared exponent - exponent))``. With `stalls`, groups come and
    planes leave in cycles that the solver chooses, else in every cycle. With `most_planes`, no more planes than that are
    claimed to be sent.
    """

    def __init__(self, *, lanes: int, mantissa_bits: int, stalls: bool, most_planes: int | None = None) -> None:
        self.lanes, self.mantissa_bits, self.stalls, self.most_planes = lanes, mantissa_bits, stalls, most_planes
        super().__init__({"values": 16 * lanes} | ({"offered": 1, "ready": 1} if stalls else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.lane = lane = BpcLane(BpcLaneParameters(lanes=self.lanes, max_mantissa_bits=self.mantissa_bits))
        m.d.comb += [
            Value.cast(lane.group.payload.values).eq(self.values),
            lane.group.payload.mantissa_bits.eq(self.mantissa_bits),
            lane.group.valid.eq(self.offered if self.stalls else 1),
            lane.planes.ready.eq(self.ready if self.stalls else 1),
        ]
        values = [Signal(FP16, name=f"value_{index}") for index in range(self.lanes)]
        plane = Signal(range(self.mantissa_bits + 1))
        busy = Signal()
        last = plane == self.mantissa_bits
        sends = lane.planes.valid & lane.planes.ready
        if self.most_planes is not None:
            sent, _ = count_transfers(m, lane.planes, "sent")
            m.d.comb += Assert(sent + sends <= self.most_planes)
        with m.If(sends):
            m.d.sync += plane.eq(Mux(last, 0, plane + 1))
            with m.If(last):
                m.d.sync += busy.eq(0)
        with m.If(lane.group.valid & lane.group.ready):
            m.d.comb += Assert(~busy | (sends & last))
            m.d.sync += busy.eq(1)
            m.d.sync += [value.eq(self.values.word_select(index, 16)) for index, value in enumerate(values)]
        m.d.comb += [Assert(lane.planes.valid == busy), Assert(keeps_rule(m, lane.planes, "planes"))]
        with m.If(busy):
            self._assert_plane(m, lane, values, plane)
        return m

    def _assert_plane(self, m: Module, lane: BpcLane, values: list[Any], plane: Signal) -> None:
        fields = [(Mux(value.exponent == 31, 30, value.exponent), value) for value in values]
        exponents = [Mux(field == 0, 1, field) for field, _ in fields]
        significands = [
            Mux(value.exponent == 31, 1023, value.fraction) + Mux(field == 0, 0, 1024) for field, value in fields
        ]
        shared = Signal(5)
        m.d.comb += [Assert(shared >= exponent) for exponent in exponents]
        m.d.comb += shared.eq(greatest(exponents))
        payload = lane.planes.payload
        m.d.comb += Assert(payload.last == (plane == self.mantissa_bits))
        with m.If(plane == 0):
            m.d.comb += [
                Assert(payload.plane == Cat(value.sign for value in values)),
                Assert(payload.exponent == shared),
            ]
        for index, (exponent, significand) in enumerate(zip(exponents, significands, strict=True)):
            distance = Signal(5, name=f"distance_{index}")
            mantissa = Signal(self.mantissa_bits, name=f"mantissa_{index}")
            m.d.comb += [
                distance.eq(shared - exponent),
                mantissa.eq((significand << self.mantissa_bits) >> (11 + distance)),
            ]
            with m.If(plane != 0):
                bit = mantissa.bit_select((self.mantissa_bits - plane)[:5], 1)
                m.d.comb += Assert(payload.plane[index] == bit)


def greatest(values: list[Value]) -> Value:
    """The largest value, by comparing one after the other."""
    largest = values[0]
    for value in values[1:]:
        largest = Mux(value > largest, value, largest)
    return largest


class StepIsOnePlane(Claim):
    """From any state: after a sign plane, a mantissa plane takes the sum to twice itself plus the signed weights."""

    def __init__(self, *, lanes: int, weight_bits: int) -> None:
        self.lanes, self.weight_bits = lanes, weight_bits
        super().__init__({"plane": lanes, "weights": lanes * weight_bits, "first": 1})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        circuit = DotProduct(DotProductParameters(lanes=self.lanes, weight_bits=self.weight_bits, max_mantissa_bits=16))
        m.submodules.circuit = circuit
        time = Signal(2)
        signs = Signal(self.lanes)
        m.d.sync += [time.eq(time + 1), signs.eq(self.plane)]
        m.d.comb += [
            circuit.plane.eq(self.plane),
            Value.cast(circuit.weights).eq(self.weights),
            circuit.load.eq(time == 0),
            circuit.step.eq(time == 1),
            circuit.first.eq(self.first),
        ]
        terms: list[Value] = []
        for lane in range(self.lanes):
            weight = self.weights.word_select(lane, self.weight_bits).as_signed()
            terms.append(Mux(self.plane[lane], Mux(signs[lane], -weight, weight), 0))
        while len(terms) > 1:  # in the order of the circuit's tree: the solver finds that easier
            terms = [sum(terms[start + 1 : start + 2], terms[start]) for start in range(0, len(terms), 2)]
        expected = Signal.like(circuit.partial_sum)
        m.d.sync += expected.eq(Mux(self.first, 0, circuit.partial_sum << 1) + terms[0])
        with m.If(time == 2):
            m.d.comb += Assert(circuit.partial_sum == expected)
        return m


class PeIsADotProduct(Claim):
    """A processing element sends each unit's sum of signed mantissas times weights, and the exponent, of every group.

    Groups have 1 to `mantissa_bits` planes; planes, weights and results move in cycles that the solver chooses.
    """

    def __init__(self, *, lanes: int, weight_bits: int, mantissa_bits: int, **options: Any) -> None:
        self.lanes, self.weight_bits, self.mantissa_bits = lanes, weight_bits, mantissa_bits
        self.parameters = AndaPEParameters(
            lanes=lanes, weight_bits=weight_bits, max_mantissa_bits=mantissa_bits, **options
        )
        super().__init__(
            {"plane": lanes, "exponent": 5, "last": 1, "weights": lanes * weight_bits * self.parameters.units}
            | {"plane_offered": 1, "weights_offered": 1, "ready": 1}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pe = pe = AndaPE(self.parameters)
        m.d.comb += [
            Value.cast(pe.activation.payload).eq(Cat(self.plane, self.exponent, self.last)),
            pe.activation.valid.eq(self.plane_offered),
            Value.cast(pe.weights.payload).eq(self.weights),
            pe.weights.valid.eq(self.weights_offered),
            pe.result.ready.eq(self.ready),
            Assume(keeps_rule(m, pe.activation, "activation")),
            Assume(keeps_rule(m, pe.weights, "weights")),
            Assert(keeps_rule(m, pe.result, "result")),
        ]
        expected = Signal.like(Value.cast(pe.result.payload))
        outstanding = Signal()
        with m.If(pe.result.valid & pe.result.ready):
            m.d.comb += [Assert(outstanding), Assert(Value.cast(pe.result.payload) == expected)]
            m.d.sync += outstanding.eq(0)
        self._follow(m, pe, expected, outstanding)
        return m

    def _follow(self, m: Module, pe: AndaPE, expected: Signal, outstanding: Signal) -> None:
        """Gather a group's signs and mantissas, and multiply them out with its last plane."""
        signs = Signal(self.lanes)
        exponent = Signal(5)
        planes = Signal(range(self.mantissa_bits + 1))
        mantissas = [Signal(self.mantissa_bits, name=f"mantissa_{lane}") for lane in range(self.lanes)]
        inside = Signal()
        m.d.comb += Assume(~inside | (planes != self.mantissa_bits - 1) | self.last)
        totals: list[Value] = [Const(0)] * self.parameters.units
        for index in range(self.lanes * self.parameters.units):
            unit, lane = divmod(index, self.lanes)
            weight = self.weights.word_select(index, self.weight_bits).as_signed()
            product = Cat(self.plane[lane], mantissas[lane])[: self.mantissa_bits] * weight
            totals[unit] = Mux(signs[lane], -product, product) + totals[unit]
        with m.If(pe.activation.valid & pe.activation.ready):
            with m.If(~inside):
                m.d.sync += [inside.eq(1), signs.eq(self.plane), exponent.eq(self.exponent), planes.eq(0)]
                m.d.sync += [mantissa.eq(0) for mantissa in mantissas]
            with m.Else():
                m.d.sync += [mantissa.eq(Cat(self.plane[lane], mantissa)) for lane, mantissa in enumerate(mantissas)]
                m.d.sync += [planes.eq(planes + 1), inside.eq(~self.last)]
                m.d.comb += Assert(pe.weights.ready == self.last)
                with m.If(self.last):
                    sum_bits = self.parameters.partial_sum_bits
                    least = (exponent - planes - 1)[:6]
                    m.d.comb += Assert(~outstanding | (pe.result.valid & pe.result.ready))
                    m.d.sync += [outstanding.eq(1), expected.eq(Cat(*(total[:sum_bits] for total in totals), least))]


@pytest.mark.parametrize(("lanes", "weight_bits"), [(1, 4), (2, 4), (3, 4), (4, 4), (5, 3), (3, 5)])
def test_the_adder_tree_sums_signed_weights(lanes: int, weight_bits: int) -> None:
    prove(TreeIsASum(lanes=lanes, weight_bits=weight_bits))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_the_maximum_is_the_largest(count: int) -> None:
    prove(MaximumIsTheLargest(count=count))


def test_a_false_claim_is_refuted() -> None:
    with pytest.raises(RefutedError):
        prove(TreeIsASum(lanes=2, weight_bits=3, off_by=1))


@pytest.mark.parametrize("mantissa_bits", range(1, 17))
def test_a_lane_aligns(mantissa_bits: int) -> None:
    """Two values: a whole group, and the sign plane of the next."""
    prove(LaneAligns(lanes=2, mantissa_bits=mantissa_bits, stalls=False), cycles=mantissa_bits + 3)


@pytest.mark.parametrize(
    ("mantissa_bits", "stalls", "cycles", "planes"), [(1, False, 4, 3), (4, False, 7, 6), (2, True, 8, 7)]
)
def test_what_the_bound_of_a_lane_reaches(mantissa_bits: int, stalls: bool, cycles: int, planes: int) -> None:
    """The planes that leave within the bounds of the two proofs: M + 2 without pauses."""
    claim = partial(LaneAligns, lanes=2, mantissa_bits=mantissa_bits, stalls=stalls)
    prove(claim(most_planes=planes), cycles=cycles)
    with pytest.raises(RefutedError):
        prove(claim(most_planes=planes - 1), cycles=cycles)


def test_a_proof_that_reaches_nothing_is_no_proof() -> None:
    with pytest.raises(UnreachedError):
        prove(Unreached(), cycles=3)


class Unreached(Claim):
    """An assertion that its assumption keeps from being reached."""

    def __init__(self) -> None:
        super().__init__({"value": 4})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kept = Signal(4)
        m.d.sync += kept.eq(self.value)
        m.d.comb += Assume(self.value < 8)
        with m.If(kept[3]):
            m.d.comb += Assert(kept == 9)
        return m


@pytest.mark.parametrize(("mantissa_bits", "cycles"), [(1, 8), (2, 8), (3, 8), (4, 8)])
def test_a_lane_aligns_under_back_pressure(mantissa_bits: int, cycles: int) -> None:
    prove(LaneAligns(lanes=2, mantissa_bits=mantissa_bits, stalls=True), cycles=cycles)


@pytest.mark.parametrize(("lanes", "weight_bits"), [(2, 4), (3, 4), (4, 4), (5, 4), (8, 2)])
def test_a_step_adds_a_plane(lanes: int, weight_bits: int) -> None:
    prove(StepIsOnePlane(lanes=lanes, weight_bits=weight_bits), cycles=3, any_state=True)


@pytest.mark.parametrize(
    ("lanes", "weight_bits", "mantissa_bits", "cycles"),
    [(2, 2, 2, 8), (2, 3, 3, 5), (2, 4, 2, 5), (3, 2, 2, 5), (4, 2, 2, 4)],
)
def test_an_element_computes_dot_products(lanes: int, weight_bits: int, mantissa_bits: int, cycles: int) -> None:
    prove(PeIsADotProduct(lanes=lanes, weight_bits=weight_bits, mantissa_bits=mantissa_bits), cycles=cycles)


@pytest.mark.parametrize(("lanes", "mantissa_bits", "units", "cycles"), [(2, 2, 1, 8), (2, 3, 1, 5), (2, 1, 2, 5)])
def test_a_row_with_shared_signs_computes_dot_products(lanes: int, mantissa_bits: int, units: int, cycles: int) -> None:
    claim = PeIsADotProduct(lanes=lanes, weight_bits=2, mantissa_bits=mantissa_bits, signs="row", units=units)
    prove(claim, cycles=cycles)


@pytest.mark.parametrize(
    ("claim", "cycles", "module", "cell", "other"),
    [
        (LaneAligns(lanes=2, mantissa_bits=3, stalls=False), 5, "lane", "$sub", "$add"),
        (PeIsADotProduct(lanes=2, weight_bits=2, mantissa_bits=1), 5, "pe.dot_product", "$xor", "$and"),
        (
            PeIsADotProduct(lanes=2, weight_bits=2, mantissa_bits=1, signs="row"),
            5,
            "pe.signed_planes",
            "$xor",
            "$or",
        ),
    ],
    ids=["lane", "processing element", "signs of a row"],
)
def test_a_broken_circuit_is_refuted(claim: Claim, cycles: int, module: str, cell: str, other: str) -> None:
    """With the first such operator of the circuit replaced, the proof fails."""

    def mutate(netlist: str) -> str:
        before, start, circuit = netlist.partition(f"module \\claim.{module}\n")
        return before + start + circuit.replace(f"cell {cell} ", f"cell {other} ", 1)

    with pytest.raises(RefutedError):
        prove(claim, cycles=cycles, mutate=mutate)

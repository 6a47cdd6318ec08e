# amaranth: UnusedElaboratable=no
"""Dot products in floating point, with the features of a floating-point unit as options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_choice, check_flags, check_integer
from ...formats.options import Rounding
from ...formats.processing_elements.floating import ALIGNED_BITS, QUIET_NAN, Summation, floating_dot
from ..arithmetic.adder_trees import adder_tree
from ..arithmetic.fp import FP32
from ..arithmetic.fp_accumulator import RunningSum, RunningSumParameters
from ..arithmetic.fp_stages import Fp16Product
from ..arithmetic.ieee754 import (
    Fp16,
    IeeeAdder,
    Product,
    effective_parts,
    multiply_halves,
    multiply_integer,
    pack_magnitude,
)
from ..arithmetic.pipeline import Pipeline, Values
from ..interfaces import FP16, Stream

EXACT_HEADROOM_BITS = 16
"""An exact accumulator holds 2**16 products of the largest magnitude."""

PLACE_BITS = 9
"""Bits of the biased exponent of a summand's highest place."""

DOT_WIDTHS = (1, 2, 4, 8)


def operands_layout(dot_width: int, weight: Any, addend: bool = False) -> data.StructLayout:
    """The operands of one step of a dot product.

    Members
    -------
    activations : `ArrayLayout(FP16, dot_width)`
    weights : `ArrayLayout(weight, dot_width)`
    last : `unsigned(1)`
        The step closes the dot product.
    addend : `FP32`
        Start value of the dot product; read with its first step. Only with `addend`.
    """
    fields = {
        "activations": data.ArrayLayout(FP16, dot_width),
        "weights": data.ArrayLayout(weight, dot_width),
        "last": 1,
    }
    return data.StructLayout(fields | ({"addend": FP32} if addend else {}))


@dataclass(frozen=True, kw_only=True)
class FpDotParameters:
    """The options of a `FloatingDot`.

    Parameters
    ----------
    dot_width : `int`
        Products per cycle: 1, 2, 4 or 8.
    weight_bits : `int`
        0 for FP16 weights, or the width of a signed integer weight, 2 to 8.
    summation : `str`
        ``"chained"``
            Products are exact FP32 numbers. Neighbours are added, then neighbouring sums, and the sum of all to the
            accumulator, each time by an `IeeeAdder`: with 4 products ``((p0 + p1) + (p2 + p3)) + accumulator``.
        ``"aligned"``
            Products and accumulator are cut to 25 bits from the highest place that any of them has, added as integers,
            then normalised and rounded once a step. Experiments show that tensor cores do so (Fasi et al., Numerical
            behavior of NVIDIA tensor cores, PeerJ Computer Science 7:e330). A product's highest place is that of the
            largest product under its factors' exponents; zeros have none. Rounding ignores the bits that were cut.
        ``"exact"``
            Products are added in fixed point. The dot product is rounded once, to nearest even, when it is complete.
            The accumulator holds 2**16 products of any magnitude.
    rounding : `str`
        ``"nearest"`` or ``"truncate"``, of the `IeeeAdder` or of the normalised sum. ``"exact"`` needs nearest.
    subnormals : `bool`
        If false, subnormal operands and results count as zeros of their sign.
    specials : `bool`
        If false, infinities, NaN and overflow must not occur.
    addend : `bool`
        Each dot product starts from an `addend` instead of +0. Not with ``"exact"``.
    stages : `int`
        Registers on the way: 1, the accumulator; 2, also the products; 3, also their sum (for aligned sums, the products'
        highest place). Chained sums have one for each level of their tree, the last levels first: up to 4 for 4 products.
    adder_stages : `int`
        Registers that divide each adder, 1 to 6; a product has at most four. More than one needs chained sums in all
        their `stages`, and no `addend`.
    interleave : `int`
        Dot products in flight, 1 to 8: steps belong to them in turn. If there are fewer than `adder_stages`, steps wait
        (see `RunningSum`).

    Raises
    ------
    InputError
        A field is out of its range, or excluded by another.
    """

    dot_width: int = 4
    weight_bits: int = 0
    summation: Summation = "chained"
    rounding: Rounding = "nearest"
    subnormals: bool = True
    specials: bool = True
    addend: bool = False
    stages: int = 2
    adder_stages: int = 1
    interleave: int = 1

    def __post_init__(self) -> None:
        check_flags(self)
        check_choice("dot_width", self.dot_width, DOT_WIDTHS)
        if self.weight_bits:
            check_integer("weight_bits", self.weight_bits, 2, 8)
        check_choice("summation", self.summation, get_args(Summation))
        _ = self.running_sum  # checks rounding, adder_stages and interleave
        levels = (self.dot_width - 1).bit_length() if self.summation == "chained" else 1
        check_integer("stages", self.stages, 1, 2 + levels)
        if self.summation == "exact" and (self.rounding != "nearest" or self.addend):
            raise InputError("summation: exact needs rounding nearest and no addend; choose chained or aligned")
        if self.adder_stages > 1 and (self.summation != "chained" or self.addend or self.stages < 2 + levels):
            raise InputError(
                f"adder_stages: {self.adder_stages} needs chained sums, no addend and {2 + levels} stages; choose 1 or these"
            )

    @property
    def operands_layout(self) -> data.StructLayout:
        """The operands of one step."""
        weight = signed(self.weight_bits) if self.weight_bits else FP16
        return operands_layout(self.dot_width, weight, self.addend)

    @property
    def running_sum(self) -> RunningSumParameters:
        """The options of the adders, and of the accumulator if it has several stages."""
        return RunningSumParameters(
            rounding=self.rounding,
            subnormals=self.subnormals,
            specials=self.specials,
            adder_stages=self.adder_stages,
            interleave=self.interleave,
        )

    def compute(self, activations: NDArray[np.float16], weights: NDArray[Any]) -> NDArray[np.float32]:
        """The dot products ``[...]`` of finite activations ``[..., steps, dot_width]`` and weights, bit for bit."""
        return floating_dot(
            activations,
            weights,
            summation=self.summation,
            rounding=self.rounding,
            subnormals=self.subnormals,
            weight_bits=self.weight_bits,
        )


class FloatingDot(wiring.Component):
    """A dot product of FP16 numbers with FP16 numbers or integers, `dot_width` products per cycle, accumulated in FP32.

    With weights in FP16 it is the FP-FP baseline: the dot product of an FP16 tensor core. The array's dispatcher turns
    INT4 weights into FP16, scale included, before they come here (Anda paper, Fig. 8). So a group needs only its 64
    products: 16 cycles with `dot_width` 4. With `dot_width` 1 it is a multiply-accumulate unit.

    With all features, ``"chained"`` is IEEE 754 arithmetic. Infinities times zero, infinities of both signs and NaN
    give the NaN 0x7FC00000; other infinities stay. Products are multiples of 2**-48, so a sum is a subnormal FP32 number
    only if an `addend` makes it one.

    Timing: a step in every cycle. The result is valid `stages` cycles after the last step is taken, with ``"exact"`` one
    more. Everything waits while the result is not taken.

    Parameters
    ----------
    parameters : `FpDotParameters`

    Members
    -------
    operands : `In(stream.Signature(operands_layout(dot_width, FP16 or signed(weight_bits), addend)))`
    result : `Out(stream.Signature(FP32))`
    """

    operands: Stream
    result: Stream

    def __init__(self, parameters: FpDotParameters) -> None:
        self.parameters = parameters
        operands = stream.Signature(parameters.operands_layout)
        super().__init__({"operands": In(operands), "result": Out(stream.Signature(FP32))})

    def elaborate(self, platform: object) -> Module:
        """Connect products, adders and accumulator as `summation` says."""
        m = Module()
        if self.parameters.adder_stages > 1:
            self._sum_in_stages(m)
            return m
        pipeline = Pipeline(m, self.operands, self.result)
        sums = {"chained": self._sum_chained, "aligned": self._sum_aligned, "exact": self._sum_exact}
        sums[self.parameters.summation](m, pipeline)
        pipeline.finish()
        return m

    def _products(self) -> list[Product]:
        """The exact products of a step."""
        payload = self.operands.payload
        products: list[Product] = []
        for lane in range(self.parameters.dot_width):
            activation = Fp16.split(payload.activations[lane], self.parameters.subnormals, self.parameters.specials)
            weight = payload.weights[lane]
            if self.parameters.weight_bits:
                products.append(multiply_integer(activation, weight))
            else:
                products.append(
                    multiply_halves(
                        activation, Fp16.split(weight, self.parameters.subnormals, self.parameters.specials)
                    )
                )
        return products

    def _carried(self) -> dict[str, Value]:
        """Sideband signals of the products."""
        payload = self.operands.payload
        return {"last": payload.last} | ({"addend": Value.cast(payload.addend)} if self.parameters.addend else {})

    def _held_products(self, pipeline: Pipeline) -> tuple[list[Product], dict[str, Value]]:
        """The products and their sideband signals, from their registers if there are any."""
        products, carried = self._products(), self._carried()
        if self.parameters.stages == 1:
            return products, carried
        values, carried = _hold(pipeline, _values(products), carried)
        return _rebuild(products, values), carried

    def _sum_chained(self, m: Module, pipeline: Pipeline) -> None:
        normal = not self.parameters.subnormals and not self.parameters.weight_bits
        summands = [product.single(m, f"product_{lane}", normal) for lane, product in enumerate(self._products())]
        carried = self._carried()
        if self.parameters.stages >= 2:
            summands, carried = _hold(pipeline, summands, carried)
        while len(summands) > 1:
            pairs = zip(summands[0::2], summands[1::2], strict=True)
            summands = [self._add(m, f"adder_{len(summands)}_{index}", *pair) for index, pair in enumerate(pairs)]
            if (len(summands) - 1).bit_length() < self.parameters.stages - 2:
                summands, carried = _hold(pipeline, summands, carried)
        accumulator: Any = Signal(FP32)
        start = Mux(pipeline.first(carried["last"]), carried.get("addend", 0), accumulator)
        pipeline.accumulate(accumulator, self._add(m, "accumulating_adder", summands[0], start), carried["last"])
        m.d.comb += self.result.payload.eq(accumulator)

    def _sum_in_stages(self, m: Module) -> None:
        """Chained sums, with several stages in each product and adder."""
        addition = self.parameters.running_sum
        m.submodules.running_sum = running_sum = RunningSum(addition)
        pipeline = Pipeline(m, self.operands, running_sum.summands)
        payload = self.operands.payload
        lanes: list[Values] = [
            {"left": Value.cast(payload.activations[lane]), "right": Value.cast(payload.weights[lane])}
            for lane in range(self.parameters.dot_width)
        ]
        product = Fp16Product(self.parameters.weight_bits, self.parameters.subnormals, self.parameters.specials)
        lanes, carried = pipeline.in_stages(product.steps, lanes, {"last": payload.last}, self.parameters.adder_stages)
        summands = [lane["single"] for lane in lanes]
        while len(summands) > 1:
            pairs = zip(summands[0::2], summands[1::2], strict=True)
            lanes = [{"left": left, "right": right} for left, right in pairs]
            lanes, carried = pipeline.in_stages(addition.steps, lanes, carried, self.parameters.adder_stages)
            summands = [lane["sum"] for lane in lanes]
        m.d.comb += Value.cast(running_sum.summands.payload).eq(Cat(summands[0], carried["last"]))
        pipeline.finish()
        wiring.connect(m, running_sum.sums, wiring.flipped(self.result))

    def _add(self, m: Module, name: str, left: Value, right: Value) -> Value:
        adder = IeeeAdder(self.parameters.running_sum)
        m.submodules[name] = adder
        m.d.comb += [Value.cast(adder.left).eq(left), Value.cast(adder.right).eq(right)]
        return Value.cast(adder.sum)

    def _sum_aligned(self, m: Module, pipeline: Pipeline) -> None:
        products, carried = self._held_products(pipeline)
        places = [Mux(product.zero, 0, product.place) for product in products]
        highest = _maximum(m, places, "products")
        if self.parameters.stages >= 3:
            values, carried = _hold(pipeline, [highest, *places, *_values(products)], carried)
            highest, places = values[0], values[1 : 1 + self.parameters.dot_width]
            products = _rebuild(products, values[1 + self.parameters.dot_width :])
        accumulator: Any = Signal(FP32)
        start = Value.cast(Mux(pipeline.first(carried["last"]), carried.get("addend", 0), accumulator))
        total = self._add_aligned(m, products, places, highest, FP32(start[:32]))
        pipeline.accumulate(accumulator, total, carried["last"])
        m.d.comb += self.result.payload.eq(accumulator)

    def _add_aligned(
        self, m: Module, products: Sequence[Product], places: Sequence[Value], highest: Value, single: Any
    ) -> Signal:
        """The sum of products and an FP32 number, cut to `ALIGNED_BITS` and rounded once."""
        exponent, significand = effective_parts(single, self.parameters.subnormals)
        place = Mux(significand.any(), exponent, 0)
        top = _maximum(m, [highest, place], "summands")
        terms: list[Value] = []
        for index, (value, from_place) in enumerate(
            [(product.significand, place) for product, place in zip(products, places, strict=True)]
            + [(significand, place)]
        ):
            distance = Signal(PLACE_BITS, name=f"distance_{index}")
            m.d.comb += distance.eq(top - from_place)
            shifted = (value << ALIGNED_BITS - len(value)) >> distance[:5]
            terms.append(Mux(distance[5:].any(), 0, shifted)[:ALIGNED_BITS])
        signs = [product.sign for product in products] + [single.sign]
        total = _signed_sum(terms, signs)
        negative = total[-1]
        magnitude = Signal(ALIGNED_BITS + self.parameters.dot_width.bit_length())
        m.d.comb += magnitude.eq(Mux(negative, -total, total))
        # the top bit of `magnitude` lies that far above the highest place
        exponent = Signal(PLACE_BITS)
        m.d.comb += exponent.eq(top + (self.parameters.dot_width.bit_length() - 1))
        packed = pack_magnitude(
            m, magnitude, exponent, self.parameters.rounding, self.parameters.subnormals, self.parameters.specials
        )
        result = Signal(32, name="aligned_sum")
        m.d.comb += result.eq(Cat(packed, negative))
        if self.parameters.specials:
            nonfinite = single.exponent.all()
            nan = Cat([product.nan for product in products], nonfinite & single.fraction.any()).any()
            infinite = [product.infinite for product in products] + [nonfinite]
            _override(m, result, nan, infinite, signs)
        return result

    def _sum_exact(self, m: Module, pipeline: Pipeline) -> None:
        products, carried = self._held_products(pipeline)
        # exponents start at 1 per FP16 number
        least, span = (1, 29) if self.parameters.weight_bits else (2, 58)
        width = len(products[0].significand) + span
        shifted = [
            (Cat(product.significand, Const(0, span)) << (product.exponent - least)[:6])[:width] for product in products
        ]
        signs = [product.sign for product in products]
        total: Value = _signed_sum(shifted, signs)
        flags = self._exact_flags(products) if self.parameters.specials else []
        if self.parameters.stages >= 3:
            (total, *flags), carried = _hold(pipeline, [total, *flags], carried)
        first = pipeline.first(carried["last"])
        bits = width + EXACT_HEADROOM_BITS
        accumulator = Signal(signed(bits + 1))
        seen = Signal(len(flags))
        state = Cat(accumulator, seen)
        following = Cat((Mux(first, 0, accumulator) + total.as_signed())[: bits + 1], Mux(first, 0, seen) | Cat(flags))
        pipeline.accumulate(state, following, carried["last"])
        magnitude = Signal(bits)
        m.d.comb += magnitude.eq(Mux(accumulator < 0, -accumulator, accumulator))
        exponent = Const(127 + bits - 2 + least - products[0].bias, 8)
        packed = pack_magnitude(m, magnitude, exponent, "nearest", False, False)
        single = Signal(32, name="single")
        m.d.comb += single.eq(Cat(packed, accumulator[-1]))
        if self.parameters.specials:
            nan, plus, minus = seen
            _override(m, single, nan, [plus, minus], [Const(0, 1), Const(1, 1)])
        (rounded,) = pipeline.cut(single=single)
        m.d.comb += Value.cast(self.result.payload).eq(rounded)

    def _exact_flags(self, products: Sequence[Product]) -> list[Value]:
        """NaN, +infinity and -infinity among the products."""
        return [
            Cat(product.nan for product in products).any(),
            Cat(product.infinite & ~product.sign for product in products).any(),
            Cat(product.infinite & product.sign for product in products).any(),
        ]


def _hold(
    pipeline: Pipeline, values: Sequence[Value], carried: Mapping[str, Value]
) -> tuple[list[Value], dict[str, Value]]:
    """End the stage: registers behind the values and their sideband signals."""
    held = pipeline.cut(**{f"value_{index}": value for index, value in enumerate(values)}, **carried)
    return held[: len(values)], dict(zip(carried, held[len(values) :], strict=True))


def _values(products: Sequence[Product]) -> list[Value]:
    return [value for product in products for value in product.values]


def _rebuild(products: Sequence[Product], values: Sequence[Value]) -> list[Product]:
    """The products with other signals, given as `_values` lists them."""
    count = len(values) // len(products)
    return [
        Product(product.bias, *values[index * count : (index + 1) * count]) for index, product in enumerate(products)
    ]


def _maximum(m: Module, values: Sequence[Value], name: str) -> Value:
    """The largest of unsigned values, by a tree of comparisons."""
    level = list(values)
    while len(level) > 1:
        above: list[Value] = []
        for left, right in zip(level[0::2], level[1::2], strict=True):
            larger = Signal(PLACE_BITS, name=f"highest_{name}_{len(level)}_{len(above)}")
            m.d.comb += larger.eq(Mux(left > right, left, right))
            above.append(larger)
        level = above
    return level[0]


def _signed_sum(magnitudes: Sequence[Value], signs: Sequence[Value]) -> Value:
    """The sum of magnitudes of equal width with their signs."""
    bits = len(magnitudes[0]) + 1
    terms = [
        (Cat(magnitude, Const(0, 1)) ^ sign.replicate(bits)).as_signed()
        for magnitude, sign in zip(magnitudes, signs, strict=True)
    ]
    return adder_tree(terms, bits, signs)


def _override(m: Module, result: Signal, nan: Value, infinite: Sequence[Value], signs: Sequence[Value]) -> None:
    """Replace `result` where a summand is a NaN or an infinity."""
    plus = Cat(is_infinite & ~sign for is_infinite, sign in zip(infinite, signs, strict=True)).any()
    minus = Cat(is_infinite & sign for is_infinite, sign in zip(infinite, signs, strict=True)).any()
    fp32_infinity = Cat(Const(0, 23), Const(255, 8), minus)
    with m.If(nan | (plus & minus)):
        m.d.comb += result.eq(QUIET_NAN)
    with m.Elif(plus | minus):
        m.d.comb += result.eq(fp32_infinity)

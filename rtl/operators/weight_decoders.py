# amaranth: UnusedElaboratable=no
"""Decoders of the compressed weight formats: codes in, FP16 weights out."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..arithmetic.fp import FP32, Fp16Multiplier, Fp32Adder, Fp32ToFp16
from ..arithmetic.ieee754 import HALF_BIAS, Fp16, Product
from ..arithmetic.pipeline import Pipeline
from ..interfaces import FP16, MAX_LANES, Stream


def weights_layout(lanes: int) -> data.StructLayout:
    """Decoded weights of neighbouring input channels and one output channel.

    Members
    -------
    weights : `ArrayLayout(FP16, lanes)`
    """
    return data.StructLayout({"weights": data.ArrayLayout(FP16, lanes)})


def codes_layout(lanes: int, bits: int) -> data.StructLayout:
    """Codes of neighbouring input channels of one output channel.

    Members
    -------
    codes : `ArrayLayout(unsigned(bits), lanes)`
    last : `unsigned(1)`
        The output channel's codes end here; the next ones need the next table.
    """
    return data.StructLayout({"codes": data.ArrayLayout(bits, lanes), "last": 1})


class SqueezeLLMDecoder(wiring.Component):
    """The dense part of SqueezeLLM weights: each output channel's FP16 table, read by its codes (arXiv 2306.07629).

    The table stands in flip-flops, with a multiplexer per lane; the weights are those of
    ``formats.weights.squeezellm.SqueezeLLMWeights.dense()``. The sparse part is added elsewhere.

    Timing: codes are taken in every cycle and their weights are valid one cycle later.
    A table is taken with the last codes of the channel before, so that the codes have no gap.

    Parameters
    ----------
    lanes : `int`
        Codes per cycle, 1 to 128.
    bits : `int`
        2 to 4.

    Members
    -------
    tables : `In(stream.Signature(ArrayLayout(FP16, 2**bits)))`
        One per output channel.
    codes : `In(stream.Signature(codes_layout(lanes, bits)))`
    weights : `Out(stream.Signature(weights_layout(lanes)))`
    """

    tables: Stream
    codes: Stream
    weights: Stream

    def __init__(self, *, lanes: int = 16, bits: int = 4) -> None:
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        self.bits = check_integer("bits", bits, 2, 4)
        super().__init__(
            {
                "tables": In(stream.Signature(data.ArrayLayout(FP16, 1 << bits))),
                "codes": In(stream.Signature(codes_layout(lanes, bits))),
                "weights": Out(stream.Signature(weights_layout(lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Hold a table and select a weight per lane."""
        m = Module()
        table: Any = Signal(data.ArrayLayout(FP16, 1 << self.bits))
        loaded = Signal()
        ready = stream.Signature(codes_layout(self.lanes, self.bits)).create(path=("with_table",))
        pipeline = Pipeline(m, ready, self.weights)
        codes = self.codes.payload
        finished = self.codes.valid & self.codes.ready & codes.last
        m.d.comb += [
            ready.valid.eq(self.codes.valid & loaded),
            self.codes.ready.eq(ready.ready & loaded),
            self.tables.ready.eq(~loaded | finished),
        ]
        with m.If(self.tables.ready):
            m.d.sync += loaded.eq(self.tables.valid)
            with m.If(self.tables.valid):
                m.d.sync += table.eq(self.tables.payload)
        entries = Array(Value.cast(table).word_select(index, 16) for index in range(1 << self.bits))
        chosen = pipeline.cut(**{f"weight_{lane}": entries[codes.codes[lane]] for lane in range(self.lanes)})
        m.d.comb += Value.cast(self.weights.payload).eq(Cat(chosen))
        pipeline.finish()
        return m


def spqr_layout(lanes: int, bits: int, statistics_bits: int) -> data.StructLayout:
    """One output channel's part of a tile: a group of codes and its statistics.

    Members
    -------
    scale_code, zero_code : `unsigned(statistics_bits)`
    codes : `ArrayLayout(unsigned(bits), lanes)`
    scale_of_scale, scale_of_zero, zero_of_scale, zero_of_zero : `FP16`
        The tile's second level, in the order of the released kernel (`formats.weights.spqr.layout.second_order_words`).
    """
    numbers = ("scale_of_scale", "scale_of_zero", "zero_of_scale", "zero_of_zero")
    return data.StructLayout(
        {
            "scale_code": statistics_bits,
            "zero_code": statistics_bits,
            "codes": data.ArrayLayout(bits, lanes),
            **dict.fromkeys(numbers, FP16),
        }
    )


class SpQRDecoder(wiring.Component):
    """The dense part of SpQR weights: grids whose scales and zero points are codes on grids of their own.

    Every value is ``scale * (code - zero)`` in FP16 arithmetic, difference and product rounded to nearest even: first
    the group's scale and zero point, then its weights (arXiv 2306.03078 and its released kernel). The weights are those
    of ``formats.weights.spqr.format.SpQRWeights.dense()`` in storage order; outliers are added elsewhere. Numbers are finite, and a
    value beyond 65504 becomes +-65504.

    Timing: a group in every cycle; its weights are valid 4 cycles later: difference
    and product of the statistics, then of the weights.

    Parameters
    ----------
    lanes : `int`
        Codes of a group, 2 to 128; the kernel has 16.
    bits, statistics_bits : `int`
        Widths of the codes of weights, 2 to 4, and of statistics, 2 to 5.

    Members
    -------
    groups : `In(stream.Signature(spqr_layout(lanes, bits, statistics_bits)))`
    weights : `Out(stream.Signature(weights_layout(lanes)))`
    """

    groups: Stream
    weights: Stream

    def __init__(self, *, lanes: int = 16, bits: int = 3, statistics_bits: int = 3) -> None:
        self.lanes = check_integer("lanes", lanes, 2, MAX_LANES)
        check_integer("bits", bits, 2, 4)
        check_integer("statistics_bits", statistics_bits, 2, 5)
        super().__init__(
            {
                "groups": In(stream.Signature(spqr_layout(lanes, bits, statistics_bits))),
                "weights": Out(stream.Signature(weights_layout(lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Decode the statistics, then the weights, in a pipeline."""
        m = Module()
        group = self.groups.payload
        pipeline = Pipeline(m, self.groups, self.weights)
        scale, zero, scale_of_scale, scale_of_zero, codes = pipeline.cut(
            scale_difference=_difference(m, "scale", group.scale_code, group.zero_of_scale),
            zero_difference=_difference(m, "zero", group.zero_code, group.zero_of_zero),
            scale_of_scale=group.scale_of_scale,
            scale_of_zero=group.scale_of_zero,
            codes=group.codes,
        )
        scale, zero, codes = pipeline.cut(
            scale=_product(m, "scale", scale_of_scale, scale),
            zero=_product(m, "zero", scale_of_zero, zero),
            codes=codes,
        )
        differences = {
            f"difference_{lane}": _difference(m, f"weight_{lane}", codes[lane], zero) for lane in range(self.lanes)
        }
        *held, scale = pipeline.cut(**differences, scale=scale)
        products = {f"weight_{lane}": _product(m, f"weight_{lane}", scale, value) for lane, value in enumerate(held)}
        weights: Sequence[Any] = pipeline.cut(**products)
        m.d.comb += Value.cast(self.weights.payload).eq(Cat(map(Value.cast, weights)))
        pipeline.finish()
        return m


def _difference(m: Module, name: str, code: Value, zero: Any) -> Any:
    """``code - zero`` as an FP16 number.

    The difference is rounded to FP32 and then to FP16, which gives the same as rounding once.
    """
    m.submodules[f"{name}_adder"] = adder = Fp32Adder()
    m.submodules[f"{name}_difference"] = rounder = Fp32ToFp16()
    m.d.comb += [
        Value.cast(adder.left).eq(Value.cast(_integer_fp32(m, code, f"{name}_code"))),
        Value.cast(adder.right).eq(Value.cast(_negative_fp32(m, zero, f"{name}_zero"))),
        rounder.single.eq(adder.sum),
    ]
    return rounder.half


def _product(m: Module, name: str, scale: Any, difference: Any) -> Any:
    """``scale * difference`` as an FP16 number."""
    m.submodules[f"{name}_multiplier"] = multiplier = Fp16Multiplier()
    m.submodules[f"{name}_product"] = rounder = Fp32ToFp16()
    m.d.comb += [
        multiplier.left.eq(scale),
        multiplier.right.eq(difference),
        rounder.single.eq(multiplier.product),
    ]
    return rounder.half


def _integer_fp32(m: Module, code: Value, name: str) -> Any:
    """A small unsigned integer as an FP32 number."""
    result: Any = Signal(FP32, name=name)
    for place in range(len(code)):
        with m.If(code[place]):  # the last one that is set holds
            below = (code[:place] << 23 - place)[:23] if place else 0
            m.d.comb += [result.exponent.eq(127 + place), result.fraction.eq(below)]
    return result


def _negative_fp32(m: Module, half: Any, name: str) -> Any:
    """Minus a finite FP16 number, as an FP32 number."""
    parts = Fp16.split(half, subnormals=True, specials=False)
    never = Const(0, 1)
    exact = Product(HALF_BIAS, ~parts.sign, parts.exponent, parts.significand, parts.zero, never, never)
    return exact.single(m, name, normal=False)

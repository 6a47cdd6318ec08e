"""Register tile of the compiled GeMM: exact dot products of segments, rounded, scaled and accumulated.

A tile is `ROWS` tokens by `COLUMNS` outputs. Its dot products stay in registers while they are summed. float32 is exact
here, in any order and fused or not: within a segment and a token, all products are multiples of one power of two, and
their sum is at most 2^24 times that power. A segment that could exceed this (with mantissas of 16 bits) is cut into
smaller pieces; the sums of the pieces are added without error as pairs of float32.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils

from ..anda.kernels import fp16_patterns
from ..kernels.jit import array_data, intrinsic
from ..kernels.lanes import F32, I16, I32, I64, Lanes
from ..numeric.fp16 import MAX_FP16

# True if the target has 32 registers of 16 lanes, not 16 of 8; numba can be configured for another machine than this.
_WIDE = "+avx512f" in (getattr(config, "CPU_FEATURES", None) or binding.get_host_cpu_features().flatten())
LANES = 16 if _WIDE else 8
ROWS = 12 if _WIDE else 6
_VECTORS = 2
COLUMNS = _VECTORS * LANES


class _Pointers(NamedTuple):
    """LLVM pointers to the float32 operands of a tile; `accumulate_tile` states their shapes."""

    a: Any
    b: Any
    scales: Any
    offsets: Any
    sums: Any
    accumulators: Any
    peak: Any
    dots: Any
    high: Any
    low: Any


@intrinsic
def accumulate_tile(
    _context: Any,
    a: Any,
    b: Any,
    scales: Any,
    offsets: Any,
    sums: Any,
    accumulators: Any,
    peak: Any,
    a_at: Any,
    sums_at: Any,
    accumulators_at: Any,
    segments: Any,
    length: Any,
    piece: Any,
    rounded: Any,
    affine: Any,
) -> Any:
    """Accumulate ``segments`` segments of ``length`` channels into one tile. All arrays are flat float32.

    ==================================  ============================  ====================================
    operand                             shape                         content
    ==================================  ============================  ====================================
    ``a[a_at:]``                        [segments * length, ROWS]     values of the activations
    ``b``                               [segments * length, COLUMNS]  codes
    ``scales``                          [segments, COLUMNS]           scales
    ``offsets`` (where ``affine``)      [segments, COLUMNS]           offsets
    ``sums[sums_at:]`` (``affine``)     [segments, ROWS]              converted sums of the activations
    ``accumulators[accumulators_at:]``  [ROWS, COLUMNS]               accumulators
    ``peak``                            [LANES]                       largest magnitudes before saturation
    ==================================  ============================  ====================================

    With ``rounded``, dot products are rounded to FP16 before they are scaled. ``piece``, a divisor of ``length``, is the
    number of channels over which float32 sums are exact.
    """
    arrays, integer, flag = (a, b, scales, offsets, sums, accumulators, peak), types.intp, types.boolean

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, scales, offsets, sums, accumulators, peak = (
            array_data(context, builder, signature, arguments, i) for i in range(len(arrays))
        )
        a_at, sums_at, accumulators_at, segments, length, piece, rounded, affine = arguments[len(arrays) :]
        dots, high, low = (_scratch_tile(builder) for _ in range(3))
        with cgutils.for_range(builder, segments) as segment:
            channel = builder.mul(segment.index, length)
            pointers = _Pointers(
                _advance(builder, a, a_at, channel, ROWS),
                _advance(builder, b, I64(0), channel, COLUMNS),
                _advance(builder, scales, I64(0), segment.index, COLUMNS),
                _advance(builder, offsets, I64(0), segment.index, COLUMNS),
                _advance(builder, sums, sums_at, segment.index, ROWS),
                builder.gep(accumulators, [accumulators_at]),
                peak,
                dots,
                high,
                low,
            )
            _multiply_segment(builder, pointers, length, piece, rounded)
            with builder.if_else(rounded) as (then, otherwise):
                with then:
                    _accumulate(builder, pointers, affine, rounded=True)
                with otherwise:
                    _accumulate(builder, pointers, affine, rounded=False)
        return context.get_dummy_value()

    return types.void(*arrays, *6 * (integer,), flag, flag), codegen


def _scratch_tile(builder: Any) -> Any:
    """Allocate a tile on the stack."""
    return builder.bitcast(cgutils.alloca_once(builder, ir.ArrayType(F32, ROWS * COLUMNS)), F32.as_pointer())


def _multiply_segment(builder: Any, pointers: _Pointers, length: Any, piece: Any, rounded: Any) -> None:
    """Store the dot products of one segment to ``dots``, rounded to odd if they will be ``rounded`` again."""
    pieces = builder.udiv(length, piece)
    several = builder.icmp_unsigned(">", pieces, I64(1))
    zero = Lanes.splat(builder, F32(0.0), LANES)
    with builder.if_then(several, likely=False), _each_vector(builder) as place:
        zero.store(pointers.high, place)
        zero.store(pointers.low, place)
    with cgutils.for_range(builder, pieces) as loop:
        channel = builder.mul(loop.index, piece)
        a = _advance(builder, pointers.a, I64(0), channel, ROWS)
        b = _advance(builder, pointers.b, I64(0), channel, COLUMNS)
        _multiply(builder, pointers._replace(a=a, b=b), piece)
        with builder.if_then(several, likely=False), _each_vector(builder) as place:
            dot, high, low = (
                Lanes.load(builder, pointer, place, LANES) for pointer in (pointers.dots, pointers.high, pointers.low)
            )
            total, error = add_exactly(high, dot)
            total.store(pointers.high, place)
            (low + error).store(pointers.low, place)
    with builder.if_then(several, likely=False), _each_vector(builder) as place:
        high, low = (Lanes.load(builder, pointer, place, LANES) for pointer in (pointers.high, pointers.low))
        total, error = add_exactly(high, low)
        dot = builder.select(rounded, round_to_odd(total, error).value, total.value)
        Lanes(builder, dot).store(pointers.dots, place)


@contextmanager
def _each_vector(builder: Any) -> Generator[Any, None, None]:
    """Loop over the offsets of the vectors of a tile."""
    with cgutils.for_range(builder, I64(ROWS * _VECTORS)) as loop:
        yield builder.mul(loop.index, I64(LANES))


def _multiply(builder: Any, pointers: _Pointers, length: Any) -> None:
    """Store the dot products of ``length`` channels to ``dots``."""
    zero = Lanes.splat(builder, F32(0.0), LANES)
    dots = [[cgutils.alloca_once(builder, zero.value.type) for _ in range(_VECTORS)] for _ in range(ROWS)]
    for row in dots:
        for register in row:
            builder.store(zero.value, register)
    with cgutils.for_range(builder, length) as channel:
        b = _advance(builder, pointers.b, I64(0), channel.index, COLUMNS)
        codes = [Lanes.load(builder, b, I64(v * LANES), LANES) for v in range(_VECTORS)]
        a = _advance(builder, pointers.a, I64(0), channel.index, ROWS)
        for row in range(ROWS):
            activation = Lanes.splat(builder, builder.load(builder.gep(a, [I64(row)])), LANES)
            for register, code in zip(dots[row], codes, strict=True):
                total = Lanes(builder, builder.load(register)).add_product(activation, code)
                builder.store(total.value, register)
    for row in range(ROWS):
        for v in range(_VECTORS):
            Lanes(builder, builder.load(dots[row][v])).store(pointers.dots, I64(row * COLUMNS + v * LANES))


def _accumulate(builder: Any, pointers: _Pointers, affine: Any, rounded: bool) -> None:
    """Scale ``dots`` and add them to the accumulators, then add the products with the offsets."""
    columns = [I64(v * LANES) for v in range(_VECTORS)]
    scales = [Lanes.load(builder, pointers.scales, column, LANES) for column in columns]
    peaks = [cgutils.alloca_once_value(builder, scale.like(0.0).value) for scale in scales]
    with cgutils.for_range(builder, I64(ROWS)) as row:
        at = builder.mul(row.index, I64(COLUMNS))
        for column, scale, peak in zip(columns, scales, peaks, strict=True):
            dot = Lanes.load(builder, pointers.dots, builder.add(at, column), LANES)
            total = Lanes.load(builder, pointers.accumulators, builder.add(at, column), LANES)
            if rounded:
                partial = round_to_fp16(dot)
                builder.store(Lanes(builder, builder.load(peak)).maximum(magnitude(partial)).value, peak)
                total = total.add_product(saturate(partial), scale)  # the product of two FP16 numbers is exact
            else:
                total += dot * scale
            total.store(pointers.accumulators, builder.add(at, column))
        with builder.if_then(affine):
            own = Lanes.splat(builder, builder.load(builder.gep(pointers.sums, [row.index])), LANES)
            for column in columns:
                offset = Lanes.load(builder, pointers.offsets, column, LANES)
                total = Lanes.load(builder, pointers.accumulators, builder.add(at, column), LANES)
                (total + own * offset).store(pointers.accumulators, builder.add(at, column))
    for peak in peaks:
        keep_peak(Lanes(builder, builder.load(peak)), pointers.peak)


def round_to_fp16(values: Lanes) -> Lanes:
    """Round float32 to the precision of FP16, to nearest even, without overflow; the sign of a zero is lost.

    Adding and subtracting ``1.5 * 2^(13 + e)`` rounds a value of exponent e to 11 bits, since the sum has 24 bits. With
    e of at least -14 this also rounds to subnormal FP16 numbers.
    """
    exponents = (values.bits_as(I32) & 0x7F800000).maximum((127 - 14) << 23)
    shifter = (exponents + ((13 << 23) + (1 << 22))).bits_as(F32)
    return (values + shifter) - shifter


def add_exactly(a: Lanes, b: Lanes) -> tuple[Lanes, Lanes]:
    """Rounded sum of two float32 numbers and its error, which add up to the exact sum (Knuth's TwoSum)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def round_to_odd(total: Lanes, error: Lanes) -> Lanes:
    """Round ``total + error`` of `add_exactly` to float32: an inexact sum becomes the neighbour with last bit 1.

    Rounding this again to fewer bits gives the same as rounding the exact sum once.
    """
    bits = total.bits_as(I32)
    inexact = error.equals(0.0).select(bits.like(0), 1)
    too_large = ((bits ^ error.bits_as(I32)) >> 31) & inexact
    return ((bits - too_large) | inexact).bits_as(F32)


def magnitude(values: Lanes) -> Lanes:
    """Absolute values."""
    return (values.bits_as(I32) & 0x7FFFFFFF).bits_as(F32)


def saturate(values: Lanes) -> Lanes:
    """Limit values to the finite range of FP16."""
    return values.minimum(MAX_FP16).maximum(-MAX_FP16)


def keep_peak(magnitudes: Lanes, peak: Any) -> None:
    """Update the LANES maxima at ``peak`` with these magnitudes."""
    Lanes.load(magnitudes.builder, peak, I64(0), LANES).maximum(magnitudes).store(peak, I64(0))


@intrinsic
def round_sums(_context: Any, sums: Any, at: Any, peak: Any) -> Any:
    """Round the LANES floats at ``sums[at:]`` to FP16, saturating."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, peak = (array_data(context, builder, signature, arguments, i) for i in (0, 2))
        rounded = round_to_fp16(Lanes.load(builder, sums, arguments[1], LANES))
        keep_peak(magnitude(rounded), peak)
        saturate(rounded).store(sums, arguments[1])
        return context.get_dummy_value()

    return types.void(sums, types.intp, peak), codegen


@intrinsic
def store_codes(_context: Any, codes: Any, at: Any, target: Any, target_at: Any) -> Any:
    """Convert the COLUMNS codes at ``codes[at:]`` to float32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, target = (array_data(context, builder, signature, arguments, i) for i in (0, 2))
        values = Lanes.load(builder, codes, arguments[1], COLUMNS).sign_extended(I32).to_float()
        values.store(target, arguments[3])
        return context.get_dummy_value()

    return types.void(codes, types.intp, target, types.intp), codegen


@intrinsic
def store_fp16(_context: Any, accumulators: Any, at: Any, target: Any, target_at: Any, peak: Any) -> Any:
    """Round the LANES floats at ``accumulators[at:]`` to FP16 patterns, saturating; zeros keep their sign."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        accumulators, target, peak = (array_data(context, builder, signature, arguments, i) for i in (0, 2, 4))
        patterns = Lanes.load(builder, accumulators, arguments[1], LANES).bits_as(I32)
        rounded = round_to_fp16((patterns & 0x7FFFFFFF).bits_as(F32))
        keep_peak(rounded, peak)
        signs = ((patterns >> 31) << 15).narrowed(I16)
        (fp16_patterns(rounded.minimum(MAX_FP16)) | signs).store(target, arguments[3])
        return context.get_dummy_value()

    return types.void(accumulators, types.intp, target, types.intp, peak), codegen


def _advance(builder: Any, pointer: Any, at: Any, index: Any, stride: int) -> Any:
    """``pointer + at + index * stride``."""
    return builder.gep(pointer, [builder.add(at, builder.mul(index, I64(stride)))])

"""Floating-point dot products of the processing elements against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.options import Rounding
from anda_codesign.formats.processing_elements.floating import Summation, add_fp32, floating_dot
from anda_codesign.formats.processing_elements.scaled import scale_and_accumulate
from numpy.typing import NDArray


def log2_floor(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1


def round_single(value: Fraction, rounding: str) -> Fraction:
    """To 24 bits, or to multiples of 2**-149; finite."""
    if not value:
        return value
    unit = Fraction(2) ** (max(log2_floor(abs(value)), -126) - 23)
    steps = value / unit
    return unit * (round(steps) if rounding == "nearest" else int(steps))


def cut(value: Fraction, place: int, bits: int) -> Fraction:
    """The bits of `value` from weight ``2**place`` down, `bits` of them."""
    unit = Fraction(2) ** (place - bits + 1)
    return int(value / unit) * unit


def reference_add(left: Fraction, right: Fraction, rounding: str) -> Fraction:
    large, small = (left, right) if abs(left) >= abs(right) else (right, left)
    if rounding == "truncate" and large:
        small = cut(small, max(log2_floor(abs(large)), -126), 25)
    return round_single(large + small, rounding)


def half_place(half: np.float16) -> int:
    """Exponent of a half; subnormals share that of the least normal."""
    return max(log2_floor(abs(Fraction(float(half)))), -14) if half else -14


def reference_dot(
    activations: NDArray[np.float16], weights: NDArray, summation: str, rounding: str, start: float = 0.0
) -> float:
    """One dot product ``[steps, ways]``, finite and with subnormals."""
    products = [
        [Fraction(float(a)) * Fraction(float(w)) for a, w in zip(*step, strict=True)]
        for step in zip(activations, weights, strict=True)
    ]
    if summation == "exact":
        return float(round_single(sum(sum(step, Fraction(0)) for step in products), "nearest"))
    total = Fraction(start)
    for step, (a, w) in zip(products, zip(activations, weights, strict=True), strict=True):
        if summation == "chained":
            while len(step) > 1:
                step = [reference_add(x, y, rounding) for x, y in zip(step[0::2], step[1::2], strict=True)]
            total = reference_add(step[0], total, rounding)
        else:
            # two integer digits for a product of halves; a 4-bit integer has its top bit at weight 8
            places = [
                half_place(x) + (half_place(y) + 1 if weights.dtype == np.float16 else 4)
                for x, y in zip(a, w, strict=True)
            ]
            places += [max(log2_floor(abs(total)), -126) if total else -200]
            top = max((place for place, value in zip(places, [*step, total], strict=True) if value), default=0)
            total = round_single(sum(cut(value, top, 25) for value in [*step, total]), rounding)
    return float(total)


def operands(rng: np.random.Generator, shape: tuple[int, ...], integers: bool) -> tuple[NDArray, NDArray]:
    """Halves of every magnitude, and of like magnitude where sums cancel."""
    wide = rng.integers(0, 0x7C00, (2, *shape)) | rng.integers(0, 2, (2, *shape)) << 15
    close = (rng.standard_normal((2, *shape)) * 2.0 ** rng.integers(-3, 3, (2, *shape))).astype(np.float16)
    halves = np.where(rng.random((2, *shape)) < 0.6, close, wide.astype(np.uint16).view(np.float16))
    halves[0][rng.random(shape) < 0.05] = 0
    return halves[0], rng.integers(-8, 8, shape).astype(np.int8) if integers else halves[1]


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize(
    ("summation", "rounding"),
    [
        ("chained", "nearest"),
        ("chained", "truncate"),
        ("aligned", "nearest"),
        ("aligned", "truncate"),
        ("exact", "nearest"),
    ],
)
def test_dot_products_of_fractions(summation: Summation, rounding: Rounding, integers: bool) -> None:
    rng = np.random.default_rng(len(summation) + 2 * integers)
    for ways in (1, 4, 8):
        a, w = operands(rng, (40, 3, ways), integers)
        start = None
        if summation != "exact":
            start = (rng.standard_normal(40) * 2.0 ** rng.integers(-149, 20, 40)).astype(np.float32)
        result = floating_dot(a, w, summation=summation, rounding=rounding, addend=start)
        starts = np.zeros(40) if start is None else start
        expected = [reference_dot(*pair, summation, rounding, float(c)) for *pair, c in zip(a, w, starts, strict=True)]
        assert result.tolist() == expected


def test_truncated_sums_of_any_singles() -> None:
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**31, (2, 4000)) | rng.integers(0, 2, (2, 4000)) << 31
    bits[1, :3000] = bits[0, :3000] + (rng.integers(-30, 31, 3000) << 23) + rng.integers(-9, 10, 3000) ^ (1 << 31)
    left, right = (bits & 0xBFFFFFFF).astype(np.uint32).view(np.float32)
    total = add_fp32(left, right, "truncate")
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    expected = [float(reference_add(Fraction(x), Fraction(y), "truncate")) for x, y in pairs]
    assert total.tolist() == expected


def test_special_values() -> None:
    infinity, nan, zero = np.float32(np.inf), np.float32(np.nan), np.float32(0)
    left = np.array([infinity, infinity, nan, 3.4e38, -3.4e38, zero, -zero, -zero], np.float32)
    right = np.array([1, -infinity, 1, 3.4e38, -3.4e38, -zero, -zero, zero], np.float32)
    nearest = [0x7F800000, 0x7FC00000, 0x7FC00000, 0x7F800000, 0xFF800000, 0, 0x80000000, 0]
    assert add_fp32(left, right).view(np.uint32).tolist() == nearest
    truncated = [*nearest[:3], 0x7F7FFFFF, 0xFF7FFFFF, *nearest[5:]]
    assert add_fp32(left, right, "truncate").view(np.uint32).tolist() == truncated
    a = np.array([[[np.inf, 1]], [[np.inf, -np.inf]], [[np.inf, 1]], [[np.nan, 1]]], np.float16)
    w = np.array([[[2, 1]], [[1, 1]], [[0, 1]], [[1, 1]]], np.float16)
    for summation in ("chained", "aligned", "exact"):
        patterns = floating_dot(a, w, summation=summation).view(np.uint32).tolist()
        assert patterns == [0x7F800000, 0x7FC00000, 0x7FC00000, 0x7FC00000]


def test_flushed_subnormals() -> None:
    a = np.array([[[2**-24, 2**-14, -(2**-15), 1]]], np.float16)
    w = np.array([[[60000, 1, 1, 2**-20]]], np.float16)
    assert floating_dot(a, w, subnormals=False).tolist() == [2**-14]
    assert floating_dot(a, w).tolist() == [60000 * 2**-24 + 2**-14 - 2**-15 + 2**-20]
    tiny = np.array([2**-130, -(2**-130), 2**-126], np.float32)
    assert add_fp32(tiny, tiny * 0, subnormals=False).tolist() == [0, 0, 2**-126]
    assert np.signbit(add_fp32(tiny[1:2], tiny[1:2], subnormals=False)).tolist() == [True]


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (
            [(2, 4), (2, 2)],
            {},
            "weights: have shape [2, 2]",
        ),
        ([(2, 3), (2, 3)], {}, "activations: have a dot width of 3"),
        (
            [(2, 2), (2, 2)],
            {"summation": "kahan"},
            "summation: 'kahan'",
        ),
        (
            [(2, 2), (2, 2)],
            {"summation": "exact", "rounding": "truncate"},
            "summation: exact sums round to nearest",
        ),
    ],
)
def test_what_does_not_fit(shapes: list[tuple[int, int]], options: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        floating_dot(np.ones(shapes[0], np.float16), np.ones(shapes[1], np.float16), **options)
    assert str(error.value).startswith(message)


def test_groups_are_scaled_and_summed_in_order() -> None:
    partials = np.array([2048.5, 1e6, -3.0])
    scales = np.array([0.5, 2.0, 0.25], np.float16)
    total, saturated = scale_and_accumulate(partials, scales)
    assert (float(total), saturated) == (1024 + 131008 - 0.75, True)
    assert scale_and_accumulate(partials[2:], scales[2:]) == (-0.75, False)

# amaranth: UnusedElaboratable=no
"""The adder with all its features against NumPy's, which is IEEE 754, and with fewer against its software twin."""

import itertools

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.processing_elements.floating import add_fp32
from anda_codesign.rtl import run_vectors
from anda_codesign.rtl.arithmetic.ieee754 import Fp32Addition, IeeeAdder
from numpy.typing import NDArray

compiled = pytest.mark.tool("g++")
EXTREMES = [0, 1, 0x7FFFFF, 0x800000, 0x800001, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000]
EXTREME_PAIRS = np.array(list(itertools.product([*EXTREMES, *[x | 1 << 31 for x in EXTREMES]], repeat=2)), np.uint32).T


def fp32_pairs(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """uint32 ``[2, count]``: any singles, singles of like exponents, and subnormals."""
    bits = rng.integers(0, 2**32, (2, count), dtype=np.uint64).astype(np.uint32)
    close, small = count // 2, count // 4
    shift = rng.integers(-30, 31, close)
    exponents = ((bits[0, :close] >> 23 & 255).astype(np.int64) + shift).clip(0, 254).astype(np.uint32)
    bits[1, :close] = (bits[1, :close] & 0x807FFFFF) | exponents << np.uint32(23)
    bits[1, : close // 4] ^= (bits[0, : close // 4] ^ bits[1, : close // 4]) & 0x7FFFF0
    bits[:, -small:] &= 0x81FFFFFF
    return np.concatenate([EXTREME_PAIRS, bits], axis=1)


def sums(adder: IeeeAdder, pairs: NDArray[np.uint32], simulator: str) -> list[int]:
    left, right = pairs.tolist()
    return run_vectors(adder, {"left": left, "right": right}, ["sum"], simulator=simulator)["sum"]


def ieee_sums(pairs: NDArray[np.uint32]) -> list[int]:
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add(*pairs.view(np.float32))
    return np.where(np.isnan(total), np.uint32(0x7FC00000), total.view(np.uint32)).tolist()


def test_sums_are_those_of_ieee_754() -> None:
    pairs = fp32_pairs(np.random.default_rng(0), 600)
    assert sums(IeeeAdder(Fp32Addition()), pairs, "amaranth") == ieee_sums(pairs)


@compiled
def test_many_sums_are_those_of_ieee_754() -> None:
    pairs = fp32_pairs(np.random.default_rng(1), 200_000)
    assert sums(IeeeAdder(Fp32Addition()), pairs, "cxxrtl") == ieee_sums(pairs)


@pytest.mark.parametrize(("rounding", "subnormals"), [("nearest", False), ("truncate", True), ("truncate", False)])
def test_fewer_features(rounding: str, subnormals: bool) -> None:
    pairs = fp32_pairs(np.random.default_rng(2), 400)
    twin = add_fp32(*pairs.view(np.float32), rounding, subnormals)
    assert (
        sums(IeeeAdder(Fp32Addition(rounding=rounding, subnormals=subnormals)), pairs, "amaranth")
        == twin.view(np.uint32).tolist()
    )


@compiled
@pytest.mark.parametrize("subnormals", [True, False])
def test_many_truncated_sums(subnormals: bool) -> None:
    pairs = fp32_pairs(np.random.default_rng(3), 100_000)
    twin = add_fp32(*pairs.view(np.float32), "truncate", subnormals)
    adder = IeeeAdder(Fp32Addition(rounding="truncate", subnormals=subnormals))
    assert sums(adder, pairs, "cxxrtl") == twin.view(np.uint32).tolist()


def test_finite_sums_need_no_special_cases() -> None:
    pairs = fp32_pairs(np.random.default_rng(4), 300) & 0xBFFFFFFF
    assert sums(IeeeAdder(Fp32Addition(specials=False)), pairs, "amaranth") == ieee_sums(pairs)


def test_illegal_parameters() -> None:
    with pytest.raises(InputError) as error:
        IeeeAdder(Fp32Addition(rounding="up"))
    assert str(error.value).startswith("rounding: 'up'")

"""The compiled GeMM where it is cut into pieces: chunks of channels, strips of outputs, panels of tokens, blocks."""

import dataclasses

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, GemmFlags, Int4Weights, fp_int_gemm
from anda_codesign.formats.gemm.fp_int import gemm_numpy
from anda_codesign.formats.gemm.parallel import blocks, exact_length
from anda_codesign.formats.options import Partial, Reconstruct
from cases import each

SHAPES = [(1, 1, 1), (13, 600, 33), (5, 64, 2100), (300, 300, 70), (12, 512, 64)]
SHAPES += [(1, 601, 2065), (2, 70, 15), (3, 128, 1024), (4, 259, 1057)]
"""The last ones are few tokens, with outputs in whole strips and not."""


@pytest.mark.parametrize(("tokens", "channels", "outputs"), SHAPES)
@pytest.mark.parametrize(("group_size", "weight_group"), [(64, 128), (128, 32), (8, 24), (32, 2)])
@pytest.mark.parametrize("partial", ["fp16", "fp32"])
@pytest.mark.parametrize("affine", [False, True])
def test_equals_numpy(
    tokens: int, channels: int, outputs: int, group_size: int, weight_group: int, partial: Partial, affine: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rng = np.random.default_rng([tokens, group_size])
    x = rng.standard_normal((tokens, channels)) * np.exp2(rng.integers(-12, 12, (tokens, channels)))
    a = AndaFormat(int(rng.integers(1, 15)), group_size).encode(x.astype(np.float16))
    codes = rng.integers(-8, 8, (channels, outputs)).astype(np.int8)
    shape = (-(-channels // weight_group), outputs)
    scales = rng.standard_normal(shape).astype(np.float16)
    w = Int4Weights(codes, scales, weight_group, rng.standard_normal(shape).astype(np.float16) if affine else None)
    monkeypatch.setenv("ANDA_KERNELS", "numba")
    flags, expected_flags = GemmFlags(), GemmFlags()
    result = fp_int_gemm(a, w, partial, flags)
    expected = gemm_numpy(a, w, partial, expected_flags)
    np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))
    assert flags == expected_flags


@pytest.mark.parametrize("group_size", [64, 128])
@pytest.mark.parametrize("reconstruct", ["truncate", "midpoint"])
@pytest.mark.parametrize("partial", ["fp16", "fp32"])
def test_sums_that_float32_cannot_hold(
    group_size: int, reconstruct: Reconstruct, partial: Partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mantissas of 16 ones: the sums need 25 bits and more, and their last bits decide how they round."""
    monkeypatch.setenv("ANDA_KERNELS", "numba")
    rng = np.random.default_rng(0)
    ones = AndaFormat(16, group_size, reconstruct=reconstruct).encode(np.ones((200, 256), np.float16))
    planes = np.full_like(ones.planes, 2**64 - 1)
    planes[:, :, 12:] = rng.integers(0, 2**64, planes[:, :, 12:].shape, np.uint64)
    a = dataclasses.replace(ones, planes=planes)
    codes = rng.choice(np.array([-8, -7], np.int8), (256, 64))
    w = Int4Weights(codes, np.full((2, 64), 2.0**-10, np.float16))
    result = fp_int_gemm(a, w, partial)
    np.testing.assert_array_equal(result.view(np.uint16), gemm_numpy(a, w, partial, GemmFlags()).view(np.uint16))


@pytest.mark.parametrize(
    ("mantissa_bits", "reconstruct", "group_size", "affine", "channels"),
    [
        (15, "truncate", 64, False, 64),
        (16, "truncate", 64, False, 32),
        (15, "midpoint", 64, False, 32),
        (16, "midpoint", 128, True, 8),
        (14, "truncate", 128, False, 128),
        (16, "truncate", 8, True, 8),
    ],
)
def test_exact_length(
    mantissa_bits: int, reconstruct: Reconstruct, group_size: int, affine: bool, channels: int
) -> None:
    a = AndaFormat(mantissa_bits, group_size, reconstruct=reconstruct).encode(np.ones((1, 128), np.float16))
    codes = np.full((128, 1), 15 if affine else -8, np.int8)
    parameters = np.ones((1, 1), np.float16)
    assert exact_length(a, Int4Weights(codes, parameters, 128, parameters if affine else None)) == channels


@each("tokens", [1, 12, 253, 2048])
@each("outputs", [1, 33, 4096, 5000])
@pytest.mark.parametrize("cores", [1, 2, 64])
def test_blocks_cover_every_output_once(tokens: int, outputs: int, cores: int) -> None:
    covered = np.zeros((tokens, outputs), np.uint8)
    for block in blocks(tokens, outputs, cores):
        covered[block.first_token : block.last_token, block.first_output : block.last_output] += 1
    assert (covered == 1).all()

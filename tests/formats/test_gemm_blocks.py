"""The compiled GeMM where it is cut into pieces: chunks of channels, strips of outputs, panels of tokens, blocks."""

import dataclasses

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, GemmFlags, Int4Weights, fp_int_gemm
from anda_codesign.formats.gemm import Partial, gemm_numpy
from anda_codesign.formats.kernels.parallel import blocks

SHAPES = [(1, 1, 1), (13, 600, 33), (5, 64, 2100), (300, 300, 70), (12, 512, 64)]


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


def test_rows_beyond_the_exact_sums_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """65504 * 64 * 8 needs 25 bits; one unit more or less decides how it rounds."""
    monkeypatch.setenv("ANDA_KERNELS", "numba")
    x = np.full((40, 128), 65504, np.float16)
    x[::3] = np.random.default_rng(0).standard_normal((14, 128))
    a = AndaFormat(16).encode(x)
    planes = a.planes.copy()
    planes[1, 0, -1] = 1  # mantissa 65505, which no half encodes to
    a = dataclasses.replace(a, planes=planes)
    codes = np.full((128, 3), -8, np.int8)
    codes[:, 1] = 7
    w = Int4Weights(codes, np.full((1, 3), 2.0**-10, np.float16))
    for partial in ("fp16", "fp32"):
        result = fp_int_gemm(a, w, partial)
        expected = gemm_numpy(a, w, partial, GemmFlags())
        np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("tokens", [1, 12, 253, 2048])
@pytest.mark.parametrize("outputs", [1, 33, 4096, 5000])
@pytest.mark.parametrize("cores", [1, 2, 64])
def test_blocks_cover_every_output_once(tokens: int, outputs: int, cores: int) -> None:
    covered = np.zeros((tokens, outputs), np.uint8)
    for block in blocks(tokens, outputs, cores):
        covered[block.first_token : block.last_token, block.first_output : block.last_output] += 1
    assert (covered == 1).all()

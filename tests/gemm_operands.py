"""Weights of a circuit's GeMM, and the comparison of its outputs and flags with `fp_int_gemm`."""

import numpy as np
from anda_codesign.formats import AndaTensor, GemmFlags, Int4Weights, fp_int_gemm
from anda_codesign.rtl.simulation.testbenches.array import MatrixRun


def affine(rng: np.random.Generator, channels: int, outputs: int, group_size: int = 8) -> Int4Weights:
    """Random weights ``[channels, outputs]`` with offsets."""
    codes = rng.integers(0, 16, (channels, outputs)).astype(np.int8)
    scales, offsets = rng.standard_normal((2, -(-channels // group_size), outputs)).astype(np.float16)
    return Int4Weights(codes, scales, group_size, offsets)


def assert_equal(run: MatrixRun, a: AndaTensor, w: Int4Weights) -> None:
    """The run has the outputs and flags of `fp_int_gemm`, bit for bit."""
    flags = GemmFlags()
    expected = fp_int_gemm(a, w, flags=flags)
    np.testing.assert_array_equal(run.outputs.view(np.uint16), expected.view(np.uint16))
    assert run.flags == flags

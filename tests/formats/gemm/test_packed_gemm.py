"""The GeMM of packed weights against its reference, bit for bit."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, InputError, Int4Weights, fp_int_gemm
from anda_codesign.formats.gemm.operands import GemmFlags
from anda_codesign.formats.gemm.packed import weight_gemm
from anda_codesign.formats.weights.base import PackedWeights, WeightQuantizer
from anda_codesign.formats.weights.dense_sparse import DenseSparseWeights, SparseWeights
from anda_codesign.formats.weights.gptq import Gptq
from anda_codesign.formats.weights.grouped_int import IntegerWeights, RoundToNearest
from anda_codesign.formats.weights.serialization import Image
from anda_codesign.formats.weights.spqr.quantizer import SpQR
from anda_codesign.formats.weights.squeezellm import SqueezeLLM, SqueezeLLMWeights
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from .packed_gemm_reference import weight_gemm_reference

Array = NDArray[Any]


def activations(channels: int, mantissa_bits: int = 8, seed: int = 0, tokens: int = 3, **fields: Any) -> AndaTensor:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tokens, channels)) * np.exp(2 * rng.standard_normal(channels))
    return AndaFormat(mantissa_bits, **fields).encode(x.astype(np.float16))


def weights(channels: int, out: int = 16, seed: int = 0) -> Array:
    return (np.random.default_rng(seed).standard_t(3, (channels, out)) / 8).astype(np.float32)


def assert_same_bits(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype == np.float16
    np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


@given(
    bits=st.integers(2, 8),
    mantissa_bits=st.integers(1, 16),
    channels=st.integers(1, 140),
    group_size=st.sampled_from([16, 32, 64, 128]),
    symmetric=st.booleans(),
    offsets=st.booleans(),
    midpoint=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_integer_weights(
    bits: int, mantissa_bits: int, channels: int, group_size: int, symmetric: bool, offsets: bool, midpoint: bool
) -> None:
    a = activations(channels, mantissa_bits, channels, reconstruct="midpoint" if midpoint else "truncate")
    q = RoundToNearest(bits, group_size, symmetric).quantize(weights(channels, 4, bits))
    q = q.with_offsets() if offsets else q
    assert_same_bits(weight_gemm(a, q), weight_gemm_reference(a, q))


@given(
    mantissa_bits=st.integers(1, 16),
    channels=st.integers(1, 9),
    group_size=st.sampled_from([16, 64]),
    midpoint=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=12, deadline=None)
def test_dense_and_sparse_weights(
    mantissa_bits: int, channels: int, group_size: int, midpoint: bool, seed: int
) -> None:
    channels *= 16
    reconstruct = "midpoint" if midpoint else "truncate"
    a = activations(channels, mantissa_bits, seed, group_size=group_size, reconstruct=reconstruct)
    w = weights(channels, 16, seed)
    fisher = np.random.default_rng(seed).gamma(0.2, size=w.shape)
    for q in (
        SqueezeLLM(3, 0.02, 0.05).quantize(w, fisher),
        SqueezeLLM(4, 0.02, 0.05, values="float32").quantize(w, fisher),
        SpQR(3, threshold=0.1).quantize(w, np.eye(channels)),
    ):
        assert q.sparse.entries > 0
        assert_same_bits(weight_gemm(a, q), weight_gemm_reference(a, q))


def table_weights(values: Array, channels: int) -> SqueezeLLMWeights:
    """Weights of one output channel that repeat four FP16 numbers."""
    codes = (np.arange(channels, dtype=np.uint8) % 4)[:, None]
    sparse = SparseWeights.empty((channels, 1), np.uint32, np.float16)
    return SqueezeLLMWeights(codes, np.array([values], np.float16), sparse)


@pytest.mark.parametrize("largest", [60, 100, 30000])
def test_large_dense_weights_stay_exact(largest: float) -> None:
    """Beyond 64 the sums leave float64 and are formed in int64."""
    q = table_weights(np.array([largest, -largest + 2**-5, 2.0**-24, 1.5]), 130)
    a = AndaFormat(16, reconstruct="midpoint").encode(np.linspace(-1e-3, 1e-3, 130).astype(np.float16))
    assert_same_bits(weight_gemm(a, q), weight_gemm_reference(a, q))


def test_too_large_dense_weights() -> None:
    a = AndaFormat(16, 128, reconstruct="midpoint").encode(np.full(128, 1.999, np.float16))
    with pytest.raises(InputError) as error:
        weight_gemm(a, table_weights(np.full(4, 65504.0), 128))
    assert str(error.value).startswith("w: dense weights are too large for the exact sums")


def test_symmetric_and_offset_int4_go_through_the_int4_gemm() -> None:
    a, w = activations(200), weights(200)
    symmetric = RoundToNearest(4, 64, symmetric=True).quantize(w)
    assert_same_bits(weight_gemm(a, symmetric), fp_int_gemm(a, symmetric.to_int4()))
    offsets = RoundToNearest(3, 64).quantize(w).with_offsets()
    assert_same_bits(weight_gemm(a, offsets), fp_int_gemm(a, offsets.to_int4()))
    int4 = Int4Weights.quantize(w, 64)
    assert_same_bits(weight_gemm(a, int4), fp_int_gemm(a, int4))


def quantizers() -> list[WeightQuantizer]:
    return [RoundToNearest(3), RoundToNearest(8), Gptq(3), SqueezeLLM(3), SpQR(3)]


@pytest.mark.parametrize("quantizer", quantizers(), ids=lambda q: f"{q.name}-{q.parameters['bits']}")
def test_every_format_through_its_protocol(quantizer: WeightQuantizer) -> None:
    w = weights(576, 32)
    x = np.random.default_rng(0).standard_normal((7, 2, 576)).astype(np.float16)
    statistic = {"none": None, "hessian": np.eye(576), "fisher": np.ones(w.shape)}[quantizer.statistic]
    q = quantizer.quantize(w, statistic)
    assert q.shape == w.shape
    assert q.decode().dtype == np.float32
    assert "arXiv" in quantizer.source
    y = weight_gemm(AndaFormat(11).encode(x), type(q).from_bytes(q.to_bytes()))
    assert y.shape == (7, 2, 32)
    exact = AndaFormat(11).encode(x).decode().astype(np.float64) @ q.decode().astype(np.float64)
    np.testing.assert_allclose(y, exact, rtol=2e-3, atol=2e-2)


def test_no_tokens() -> None:
    a = AndaFormat(8).encode(np.zeros((0, 96), np.float16))
    for q in (RoundToNearest(8).quantize(weights(96)), SpQR(3).quantize(weights(96), np.eye(96))):
        assert weight_gemm(a, q).shape == (0, 16)


def test_overflow_saturates_and_is_flagged() -> None:
    a = AndaFormat(8).encode(np.full(64, 60000, np.float16))
    flags = GemmFlags()
    q = RoundToNearest(8, 64).quantize(np.ones((64, 1)))
    assert weight_gemm(a, q, flags).tolist() == [np.float16(65504 * float(q.scales[0, 0]))]
    assert flags == GemmFlags(partial_saturated=True, result_saturated=False)
    flags = GemmFlags()
    assert weight_gemm(a, table_weights(np.ones(4), 64), flags).tolist() == [65504.0]
    assert flags == GemmFlags(partial_saturated=False, result_saturated=True)


class Opaque(PackedWeights):
    """A format without a GeMM."""

    name = "opaque"

    @property
    def shape(self) -> tuple[int, int]:
        return 64, 1

    @property
    def bits_per_weight(self) -> float:
        return 0.0

    def decode(self) -> NDArray[np.float32]:
        return np.zeros(self.shape, np.float32)

    def pack(self) -> Image:
        return Image({}, {})

    @classmethod
    def unpack(cls, image: Image) -> "Opaque":
        return cls()


def test_operands_that_do_not_fit() -> None:
    a = activations(64)
    cases: list[tuple[IntegerWeights | DenseSparseWeights | Opaque, str]] = [
        (
            RoundToNearest(8).quantize(weights(65)),
            "w: has 65 input channels, a has 64",
        ),
        (
            RoundToNearest(8, 48).quantize(weights(64)),
            "w: weight group 48 and activation group 64 do not nest",
        ),
        (Opaque(), "w: the format 'opaque' has no GeMM"),
    ]
    for q, message in cases:
        with pytest.raises(InputError) as error:
            weight_gemm(a, q)
        assert str(error.value).startswith(message)

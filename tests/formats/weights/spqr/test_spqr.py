"""SpQR: the quantiser, its invariants, storage."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.gptq import Gptq
from anda_codesign.formats.weights.spqr.format import (
    SpQRParameters,
    SpQRWeights,
    average_bits,
    to_kernel,
    unpack_outliers,
    unpack_words,
)
from anda_codesign.formats.weights.spqr.quantizer import SpQR, without_outliers
from anda_codesign.formats.weights.spqr.statistics import decode_affine, encode_affine, fit_affine, quantize_statistic
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]


def problem(channels: int = 96, out: int = 48, seed: int = 0) -> tuple[Array, Array, Array]:
    """Weights with heavy tails, correlated inputs ``[tokens, in]``, and their Hessian."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(channels) + rng.standard_normal((channels, channels)) / np.sqrt(channels)
    x = rng.standard_normal((400, channels)) @ mixing * np.exp(rng.standard_normal(channels))
    return rng.standard_t(5, (channels, out)), x, 2 / len(x) * x.T @ x


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [((3, 3, 16, 16, 0), 3.625), ((4, 3, 16, 16, 0), 4.625), ((3, 3, 8, 64, 0), 3.875), ((3, 16, 48, 1, 0), 3 + 2 / 3)],
)
def test_average_bits(parameters: tuple[int, int, int, int, float], expected: float) -> None:
    assert average_bits(*parameters) == pytest.approx(expected)


def test_published_average_bits() -> None:
    assert round(average_bits(3, 3, 16, 32, 0.0), 2) == 3.5
    assert average_bits(3, 3, 16, 32, 0.004) == pytest.approx(3.63, abs=0.005)
    assert average_bits(4, 3, 16, 16, 0.00016) == pytest.approx(4.63, abs=0.005)
    assert average_bits(3, 3, 8, 64, 0.002) == pytest.approx(3.94, abs=0.005)


def plain_spqr(w: Array, hessian: Array, p: SpQR) -> tuple[Array, Array]:
    """The algorithm as it stands, natural order, one channel at a time; returns codes and decoded weights."""
    h = hessian + p.damping * np.diag(hessian).mean() * np.eye(len(w))
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    diagonal = np.diag(upper)
    limit = p.threshold * (np.var(w, axis=1, ddof=1) / diagonal**2).mean()
    w, codes, decoded = w.copy(), np.empty(w.shape, np.uint8), np.empty(w.shape)
    for j in range(len(w)):
        if j % p.group_size == 0:
            own = slice(j, j + p.group_size)
            grid = fit_affine(without_outliers(w[own], diagonal[own], p.bits, limit), p.bits, 0)
            statistics = [quantize_statistic(part, p.statistics_bits, p.statistics_group) for part in grid]
            scale, zero = (part.decode()[0] for part in statistics)
        for n in range(w.shape[1]):
            code = encode_affine(w[j, n], scale[n], zero[n], p.bits)
            value = float(decode_affine(code, scale[n], zero[n]))
            if ((w[j, n] - value) / diagonal[j]) ** 2 > limit:
                code = encode_affine(np.float64(0), scale[n], zero[n], p.bits)
                value = float(decode_affine(code, scale[n], zero[n]))
                value += float(np.float16(w[j, n] - value))
            codes[j, n], decoded[j, n] = code, value
        w[j + 1 :] -= np.outer(upper[j, j + 1 :], (w[j] - decoded[j]) / diagonal[j])
    return codes, decoded


@pytest.mark.parametrize("threshold", [0.05, 0.2, 1.0])
def test_equals_the_algorithm_without_blocks(threshold: float) -> None:
    w, _, hessian = problem(160, 16)
    quantizer = SpQR(3, threshold=threshold, act_order=False)
    q = quantizer.quantize(w, hessian)
    codes, decoded = plain_spqr(w, hessian, quantizer)
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_allclose(q.decode(), decoded, rtol=1e-6)
    assert 0 < q.sparse.entries < w.size / 4


def test_leave_one_out_finds_the_weight_that_stretches_the_grid() -> None:
    rng = np.random.default_rng(0)
    group = rng.uniform(-1, 1, (16, 5))
    group[3, 2] = 20
    cleaned = without_outliers(group, np.ones(16), 3, limit=5.0)
    expected = group.copy()
    expected[3, 2] = np.delete(group[:, 2], 3).mean()
    np.testing.assert_allclose(cleaned, expected)


def test_without_groups_and_outliers_it_is_gptq() -> None:
    """One group a row, FP16 statistics, and weights whose range gives power-of-two scales and integer zeros."""
    rng = np.random.default_rng(1)
    span = np.exp2(rng.integers(-6, 3, 12))
    w = rng.uniform(-8, 7, (64, 12)) * span
    w[0], w[1] = -8 * span, 7 * span
    _, _, hessian = problem(64)
    parameters: dict[str, Any] = {"threshold": np.inf, "damping": 0.01, "act_order": False}
    q = SpQR(4, 64, 16, 1, **parameters).quantize(w, hessian)
    expected = Gptq(4, 64, act_order=False, static_groups=False).quantize(w, hessian)
    np.testing.assert_array_equal(q.codes, expected.codes)
    np.testing.assert_array_equal(q.decode(), expected.decode())


@pytest.mark.parametrize("act_order", [False, True])
def test_identity_hessian_gives_round_to_nearest_on_the_same_grids(act_order: bool) -> None:
    w, _, _ = problem()
    q = SpQR(3, threshold=np.inf, act_order=act_order).quantize(w, np.eye(96))
    scale, zero = (np.repeat(part.decode(), 16, axis=0) for part in (q.scales, q.zeros))
    np.testing.assert_array_equal(q.codes, encode_affine(w, scale, zero, 3))
    for group in range(6):
        fitted = fit_affine(w[16 * group : 16 * group + 16], 3, axis=0)
        np.testing.assert_array_equal(q.scales.decode()[group], quantize_statistic(fitted.scale, 3, 16).decode()[0])
        np.testing.assert_array_equal(q.zeros.decode()[group], quantize_statistic(fitted.zero, 3, 16).decode()[0])


@pytest.mark.parametrize("threshold", [0.05, 0.3, np.inf])
@pytest.mark.parametrize("act_order", [False, True])
def test_every_weight_is_a_grid_point_or_an_outlier(threshold: float, act_order: bool) -> None:
    w, _, hessian = problem()
    q = SpQR(3, threshold=threshold, act_order=act_order).quantize(w, hessian)
    order = np.arange(96) if q.permutation is None else q.permutation
    scale, zero = (np.repeat(part.decode(), 16, axis=0) for part in (q.scales, q.zeros))
    grid = np.empty(w.shape, np.float16)
    grid[order] = scale * (q.codes.astype(np.float16) - zero)
    listed = np.zeros(w.shape, bool)
    listed[q.sparse.columns, q.sparse.rows()] = True
    np.testing.assert_array_equal(q.decode()[~listed], grid[~listed])
    assert q.codes.max() <= 7
    assert listed.sum() == q.sparse.entries
    assert (q.sparse.entries == 0) == np.isinf(threshold)
    assert (np.diff(q.sparse.row_offsets.astype(int)) >= 0).all()


def test_first_channel_of_the_loop_gains_outliers_as_the_threshold_falls() -> None:
    w, _, hessian = problem()
    counts: list[int] = []
    for threshold in (0.05, 0.1, 0.2, 0.5, 1, 5):
        q = SpQR(3, threshold=threshold, act_order=False).quantize(w, hessian)
        counts.append(int((q.sparse.columns == 0).sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_outliers_hold_the_weight() -> None:
    """In the first channel, which no error has moved yet, up to the rounding of the stored difference."""
    w, _, hessian = problem()
    q = SpQR(3, threshold=0.05, act_order=False).quantize(w, hessian)
    first = q.sparse.rows()[q.sparse.columns == 0]
    stored = q.sparse.values[q.sparse.columns == 0]
    assert len(first) > 3
    assert (np.abs(q.decode()[0, first] - w[0, first]) <= np.spacing(np.abs(stored)).astype(float)).all()


def test_layer_error_falls_with_bits_and_outliers() -> None:
    w, x, hessian = problem()
    errors = [
        float(np.square(x @ (quantizer.quantize(w, hessian).decode() - w)).sum())
        for quantizer in (SpQR(3, threshold=np.inf), SpQR(3, threshold=0.1), SpQR(4, threshold=0.1))
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(
    "parameters",
    [
        SpQRParameters(3, 16, 3, 16),
        SpQRParameters(4, 16, 3, 16),
        SpQRParameters(3, 8, 3, 24),
        SpQRParameters(2, 4, 5, 1),
        SpQRParameters(3, 48, 16, 16),
    ],
)
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("threshold", [0.2, np.inf])
def test_file_round_trip_and_size(parameters: SpQRParameters, act_order: bool, threshold: float) -> None:
    w, _, hessian = problem()
    quantizer = SpQR(**vars(parameters), act_order=act_order, threshold=threshold)
    q = quantizer.quantize(w, hessian)
    again = SpQRWeights.from_bytes(q.to_bytes())
    np.testing.assert_array_equal(again.codes, q.codes)
    np.testing.assert_array_equal(again.decode(), q.decode())
    assert again.parameters == parameters
    assert again.bits_per_weight == q.bits_per_weight
    extra = (16 / 48 if act_order else 0) + (32 * 49 / w.size if q.sparse.entries else 0)
    padding = 8 / (parameters.group_size * parameters.statistics_group)  # a block fills whole bytes
    assert -1e-9 < q.bits_per_weight_stored - q.bits_per_weight - extra < padding


@pytest.mark.parametrize("act_order", [False, True])
def test_kernel_form_multiplies_like_the_dense_matrix(act_order: bool) -> None:
    w, x, hessian = problem()
    q = SpQR(3, act_order=act_order).quantize(w, hessian)
    kernel = to_kernel(q)
    assert kernel.words.nbytes * 8 / w.size == 4.0
    tiles = unpack_words(kernel.words)
    second = np.repeat(tiles.second_order, 16, axis=0)
    scale = decode_affine(tiles.scale_codes, second[..., 0], second[..., 1])
    zero = decode_affine(tiles.zero_codes, second[..., 2], second[..., 3])
    matrix = decode_affine(tiles.codes, np.repeat(scale, 16, axis=1), np.repeat(zero, 16, axis=1)).astype(np.float32)
    columns, values = unpack_outliers(kernel.outliers)
    rows = np.repeat(np.arange(48), np.diff(kernel.row_offsets.astype(int)))
    assert (np.diff(columns.astype(int))[np.diff(rows) == 0] > 0).all()
    matrix[rows, columns] += values.astype(np.float32)
    gathered = x if kernel.permutation is None else x[:, kernel.permutation]
    np.testing.assert_allclose(gathered @ matrix.T, x @ q.decode(), rtol=1e-9, atol=1e-9)


def test_kernel_supports_one_set_of_parameters() -> None:
    w, _, hessian = problem()
    with pytest.raises(InputError) as error:
        to_kernel(SpQR(4).quantize(w, hessian))
    assert str(error.value).startswith("parameters: do not fit the kernel")


def test_zeros_and_constants() -> None:
    w, _, hessian = problem()
    w[:, 16:32] = 0
    w[:, 32:] = 0.3
    q = SpQR(3, threshold=np.inf).quantize(w, hessian)
    assert (q.decode()[:, 16:32] == 0).all()
    np.testing.assert_allclose(q.decode()[:, 32:], 0.3, rtol=2e-3)
    assert (SpQR(3).quantize(np.zeros((16, 16)), np.eye(16)).decode() == 0).all()


def test_zero_variance_makes_inexact_weights_outliers() -> None:
    w = np.repeat(np.random.default_rng(0).standard_normal((32, 1)), 16, axis=1)
    q = SpQR(3, act_order=False).quantize(w, np.eye(32))
    np.testing.assert_allclose(q.decode(), w, rtol=1e-3, atol=1e-3)
    assert q.sparse.entries > w.size / 2


@given(st.integers(2, 5), st.floats(-100, 100), st.floats(0.01, 100), st.integers(0, 1000))
@settings(deadline=None)
def test_second_level_error_is_half_a_step(bits: int, offset: float, size: float, seed: int) -> None:
    values = offset + size * np.random.default_rng(seed).standard_normal((3, 32))
    statistic = quantize_statistic(values, bits, 16)
    blocks, decoded = (array.reshape(3, 2, 16) for array in (values, statistic.decode().astype(np.float64)))
    step = (blocks.max(axis=2, keepdims=True) - blocks.min(axis=2, keepdims=True)) / (2**bits - 1)
    rounding = np.abs(blocks).max(axis=2, keepdims=True) * 2.0**-9
    assert (np.abs(decoded - blocks) <= step / 2 + rounding).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 5}, "bits: 5"),
        ({"group_size": 1}, "group_size: 1"),
        ({"statistics_bits": 6}, "statistics_bits: 6"),
        ({"statistics_group": 0}, "statistics_group: 0"),
        ({"threshold": -1.0}, "threshold: -1.0"),
        ({"threshold": np.nan}, "threshold: nan"),
        ({"damping": -1.0}, "damping: -1.0"),
    ],
)
def test_bad_parameters(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        SpQR(**fields)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((24, 16), "w: has 24 input channels"),
        ((65552, 16), "w: has 65552 input channels"),
        ((32, 24), "w: has 24 output channels"),
    ],
)
def test_bad_shape(shape: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        SpQR().quantize(np.ones(shape), None)
    assert str(error.value).startswith(message)


def test_bad_hessian() -> None:
    with pytest.raises(InputError, match=r"^hessian: is missing"):
        SpQR().quantize(np.ones((16, 16)))
    indefinite = np.ones((16, 16)) - 0.5 * np.eye(16)
    with pytest.raises(InputError, match=r"^hessian: is not positive definite after damping"):
        SpQR(damping=0.01).quantize(np.ones((16, 16)), indefinite)


def test_bad_fields() -> None:
    w, _, hessian = problem()
    q = SpQR().quantize(w, hessian)
    cases = [
        ({"codes": np.full(q.shape, 8, np.uint8)}, "codes: span 8..8"),
        ({"codes": q.codes[:48]}, "codes: have shape [48, 48]"),
        ({"scales": quantize_statistic(np.ones((5, 48)), 3, 16)}, "scales: are [5, 48]"),
        (
            {"permutation": np.zeros(96, np.uint16)},
            "permutation: is not an order of 96 channels",
        ),
    ]
    for changes, message in cases:
        with pytest.raises(InputError) as error:
            replace(q, **changes)
        assert str(error.value).startswith(message)

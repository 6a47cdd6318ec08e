"""SqueezeLLM: tables, sparse part, storage."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.dense_sparse import SparseWeights
from anda_codesign.formats.weights.kmeans import nearest
from anda_codesign.formats.weights.squeezellm import (
    KMeans,
    SqueezeLLM,
    SqueezeLLMWeights,
    average_bits,
    iqr_multiplier,
    iqr_threshold,
    pack_codes,
)
from numpy.typing import NDArray

Array = NDArray[Any]


def layer(channels: int = 256, out: int = 40, seed: int = 0) -> tuple[Array, Array]:
    """FP16 weights with heavy tails, and Fisher information over many magnitudes."""
    rng = np.random.default_rng(seed)
    w = rng.standard_t(4, (channels, out)).astype(np.float16).astype(np.float32)
    return w, rng.gamma(0.2, size=w.shape)


def test_packing_is_named_here() -> None:
    np.testing.assert_array_equal(
        pack_codes([i % 8 for i in range(32)], 3), np.array([0x88FAC688, 0xC688FAC6, 0xFAC688FA], np.uint32)
    )


@pytest.mark.parametrize(
    ("model", "bits", "fraction", "published"),
    [
        ("7B", 3, 0, 3.02),
        ("7B", 4, 0, 4.05),
        ("7B", 3, 0.0045, 3.24),
        ("7B", 4, 0.0045, 4.27),
        ("13B", 3, 0, 3.02),
        ("13B", 4, 0, 4.04),
        ("13B", 3, 0.0045, 3.24),
        ("13B", 4, 0.0045, 4.26),
    ],
)
def test_published_average_bits(model: str, bits: int, fraction: float, published: float) -> None:
    """Table 1 of the paper; it cuts where it should round, hence 0.011."""
    hidden, ffn = {"7B": (4096, 11008), "13B": (5120, 13824)}[model]
    shapes = [(hidden, hidden)] * 4 + [(hidden, ffn)] * 2 + [(ffn, hidden)]
    stored = sum(a * b * average_bits(a, bits, fraction) for a, b in shapes)
    assert stored / sum(a * b for a, b in shapes) == pytest.approx(published, abs=0.011)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("values", ["float16", "float32"])
def test_file_round_trip_and_size(bits: int, values: Any) -> None:
    w, fisher = layer()
    for q in (
        SqueezeLLM(bits, values=values).quantize(w, fisher),
        SqueezeLLM(bits, sensitive_fraction=0, outlier_fraction=0, values=values).quantize(w, fisher),
    ):
        again = SqueezeLLMWeights.from_bytes(q.to_bytes())
        np.testing.assert_array_equal(again.codes, q.codes)
        np.testing.assert_array_equal(again.decode(), q.decode())
        assert again.sparse.values.dtype == q.sparse.values.dtype == values
        assert again.bits_per_weight == q.bits_per_weight
        last_row_offset = 32 / w.size if q.sparse.entries else 0
        assert q.bits_per_weight_stored == pytest.approx(q.bits_per_weight + last_row_offset)


@pytest.mark.parametrize("bits", [3, 4])
def test_sparse_positions_are_exact_with_float32_values(bits: int) -> None:
    w, fisher = layer()
    q = SqueezeLLM(bits, values="float32").quantize(w, fisher)
    position = (q.sparse.columns, q.sparse.rows())
    np.testing.assert_array_equal(q.decode()[position], w[position])
    half = SqueezeLLM(bits).quantize(w, fisher)
    error = np.abs(half.decode()[position] - w[position])
    assert (error <= np.spacing(np.abs(half.sparse.values)).astype(np.float64)).all()


def test_sparse_part_is_the_sensitive_then_the_large() -> None:
    w, fisher = layer()
    q = SqueezeLLM(3, sensitive_fraction=0.01, outlier_fraction=0.02).quantize(w, fisher)
    chosen = np.zeros(w.shape, bool)
    chosen[q.sparse.columns, q.sparse.rows()] = True
    sensitive = fisher > np.sort(fisher.ravel())[-int(w.size * 0.01) - 1]
    assert chosen[sensitive].all()
    rest = np.abs(np.where(sensitive, 0, w))
    assert rest[chosen & ~sensitive].min() >= rest[~chosen].max()
    assert q.sparse.entries == int(w.size * 0.01) + int(w.size * 0.02)


def test_default_share_is_the_published_one() -> None:
    w, fisher = layer(512, 200)
    assert SqueezeLLM(3).quantize(w, fisher).sparse_fraction == pytest.approx(0.0045, abs=0.00005)


def test_sparse_codes_point_to_the_entry_nearest_to_zero() -> None:
    w, fisher = layer()
    q = SqueezeLLM(3).quantize(w, fisher)
    rows, codes = q.sparse.rows(), q.codes[q.sparse.columns, q.sparse.rows()]
    entries = np.abs(q.tables.astype(np.float64))
    np.testing.assert_array_equal(entries[rows, codes], entries[rows].min(axis=1))


def test_codes_are_nearest_and_tables_are_weighted_means() -> None:
    w, fisher = layer()
    q = SqueezeLLM(3, sensitive_fraction=0, outlier_fraction=0).quantize(w, fisher)
    np.testing.assert_array_equal(q.codes.T, nearest(w.T, q.tables))
    for row in range(w.shape[1]):
        for code in range(8):
            members = q.codes[:, row] == code
            mean = np.average(w[members, row], weights=fisher[members, row])
            np.testing.assert_allclose(q.tables[row, code], mean, rtol=1e-3, atol=1e-6)


def test_fisher_information_lowers_its_objective() -> None:
    w, fisher = layer()
    weighted = SqueezeLLM(3).quantize(w, fisher).decode() - w
    plain = SqueezeLLM(3, sensitive_fraction=0).quantize(w, np.ones(w.shape)).decode() - w
    assert (fisher * weighted**2).sum() < (fisher * plain**2).sum() / 1.5


@pytest.mark.parametrize("constant", [0.5, 3.0, 1e-30])
def test_scale_of_the_fisher_information_is_irrelevant(constant: float) -> None:
    w, fisher = layer()
    q, scaled = SqueezeLLM(3).quantize(w, fisher), SqueezeLLM(3).quantize(w, fisher * constant)
    np.testing.assert_array_equal(scaled.codes, q.codes)
    np.testing.assert_array_equal(scaled.decode(), q.decode())


def test_order_of_output_channels_is_irrelevant() -> None:
    w, fisher = layer()
    order = np.random.default_rng(1).permutation(w.shape[1])
    q, shuffled = SqueezeLLM(3).quantize(w, fisher), SqueezeLLM(3).quantize(w[:, order], fisher[:, order])
    np.testing.assert_array_equal(shuffled.tables, q.tables[order])
    np.testing.assert_array_equal(shuffled.codes, q.codes[:, order])
    np.testing.assert_array_equal(shuffled.decode(), q.decode()[:, order])


@pytest.mark.parametrize("solver", ["optimal", "lloyd"])
def test_few_distinct_values_and_rows_of_zeros_are_exact(solver: Any) -> None:
    w, fisher = layer()
    w = np.round(w.clip(-3.4, 3.4))
    w[:, 7] = 0
    fisher[:, 8] = 0
    q = SqueezeLLM(3, outlier_fraction=0, solver=solver).quantize(w, fisher)
    np.testing.assert_array_equal(q.decode(), w)


def test_outlier_threshold_of_the_released_code() -> None:
    w, fisher = layer(512, 200)
    multiplier = iqr_multiplier([w[:, :100], w[:, 100:]], 0.004)
    threshold = iqr_threshold(w, multiplier)
    first, third = np.quantile(w, [0.25, 0.75])
    assert threshold == pytest.approx(
        max(abs(first - multiplier * (third - first)), third + multiplier * (third - first))
    )
    q = SqueezeLLM(3, sensitive_fraction=0, outlier_threshold=threshold).quantize(w, fisher)
    assert q.sparse.entries == (np.abs(w) > threshold).sum()
    assert q.sparse_fraction == pytest.approx(0.004, abs=0.0001)


@pytest.mark.parametrize(
    ("fisher", "message"),
    [
        (None, "fisher: is missing"),
        (np.ones((2, 4)), "fisher: is float64 [2, 4]"),
        (np.full((4, 2), np.inf), "fisher: element (0, 0) is inf"),
        (-np.ones((4, 2)), "fisher: has negative elements"),
    ],
)
def test_bad_fisher(fisher: Array | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        SqueezeLLM().quantize(np.ones((4, 2)), fisher)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 9}, "bits: 9"),
        ({"solver": "x"}, "solver: 'x'"),
        ({"values": "bfloat16"}, "values: 'bfloat16'"),
        ({"sensitive_fraction": -1}, "sensitive_fraction: -1"),
        ({"outlier_fraction": 0.5}, "outlier_fraction: 0.5"),
        ({"outlier_threshold": 0}, "outlier_threshold: 0"),
    ],
)
def test_bad_parameters(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        SqueezeLLM(**fields)
    assert str(error.value).startswith(message)


def test_plain_kmeans_is_squeezellm_with_equal_weights() -> None:
    w, _ = layer()
    expected = SqueezeLLM(3, sensitive_fraction=0, outlier_fraction=0.01).quantize(w, np.ones(w.shape))
    np.testing.assert_array_equal(KMeans(3, 0.01).quantize(w).decode(), expected.decode())
    assert KMeans(3).quantize(w).sparse.entries == 0
    with pytest.raises(InputError, match=r"^statistic: is not used"):
        KMeans(3).quantize(w, np.ones(w.shape))
    with pytest.raises(InputError, match=r"^bits: 1"):
        KMeans(1)


def test_bad_share_of_outliers() -> None:
    with pytest.raises(InputError, match=r"^outlier_fraction: 0"):
        iqr_multiplier([np.ones((2, 2))], 0)


NOTHING = SparseWeights.empty((4, 2), np.uint32, np.float16)


@pytest.mark.parametrize(
    ("codes", "tables", "message"),
    [
        (np.full((4, 2), 8, np.uint8), np.zeros((2, 8), np.float16), "codes: span 8..8"),
        (
            np.zeros((4, 3), np.uint8),
            np.zeros((2, 8), np.float16),
            "codes: have shape [4, 3]",
        ),
        (
            np.zeros((4, 2), np.uint8),
            np.zeros((2, 9), np.float16),
            "tables: are float16 [2, 9]",
        ),
        (
            np.zeros((4, 2), np.uint8),
            np.full((2, 8), np.inf, np.float16),
            "tables: are float16 [2, 8]",
        ),
    ],
)
def test_bad_fields(codes: Array, tables: Array, message: str) -> None:
    with pytest.raises(InputError) as error:
        SqueezeLLMWeights(codes, tables, NOTHING)
    assert str(error.value).startswith(message)

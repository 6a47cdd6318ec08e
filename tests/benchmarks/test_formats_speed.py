"""Speed of Anda's encoder, decoder and GeMM, each beside the baseline that it is compared with.

Run with ``make benchmark``; ``tests/benchmarks/table.py`` prints the table of docs/performance.md.
"""

from functools import partial
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm
from anda_codesign.formats.gemm import parallel

TOKENS, CHANNELS, OUTPUTS = 2048, 4096, 4096
FORMAT = AndaFormat(mantissa_bits=8, group_size=64)


def activations() -> np.ndarray[Any, np.dtype[np.float16]]:
    return np.random.default_rng(0).standard_normal((TOKENS, CHANNELS), np.float32).astype(np.float16)


@pytest.mark.benchmark(group="FP16 to Anda planes, one core (M = 8, G = 64)")
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_encode(benchmark: Any, kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDA_KERNELS", kernels)
    benchmark.extra_info.update(work=TOKENS * CHANNELS / 1e9, unit="G values/s")
    benchmark.pedantic(FORMAT.encode, (activations(),), rounds=15, warmup_rounds=2)


@pytest.mark.benchmark(group="Anda planes to FP16, one core (M = 8, G = 64)")
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_decode(benchmark: Any, kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDA_KERNELS", kernels)
    benchmark.extra_info.update(work=TOKENS * CHANNELS / 1e9, unit="G values/s")
    benchmark.pedantic(FORMAT.encode(activations()).decode, rounds=15, warmup_rounds=2)


@pytest.mark.benchmark(group="FP16 to Anda planes, one core (M = 8, G = 64)")
def test_copy_beside_encode(benchmark: Any) -> None:
    measure_copy(benchmark)


@pytest.mark.benchmark(group="Anda planes to FP16, one core (M = 8, G = 64)")
def test_copy_beside_decode(benchmark: Any) -> None:
    measure_copy(benchmark)


def measure_copy(benchmark: Any) -> None:
    """A plain copy that reads and writes as many bytes in all as the encoder or the decoder."""
    x = activations()
    tensor = FORMAT.encode(x)
    moved = x.nbytes + tensor.signs.nbytes + tensor.planes.nbytes + tensor.exponents.nbytes
    source = np.ones(moved // 2, np.uint8)
    benchmark.extra_info.update(work=TOKENS * CHANNELS / 1e9, unit="G values/s", baseline=True)
    benchmark.pedantic(source.copy, rounds=15, warmup_rounds=2)


@pytest.mark.benchmark(group="FP16 to Anda planes and back, few tokens, one core (M = 8, G = 64)")
@pytest.mark.parametrize("tokens", [1, 16])
@pytest.mark.parametrize("kernels", ["auto", "numba", "numpy"])
@pytest.mark.parametrize("step", ["encode", "decode"])
def test_few_tokens(benchmark: Any, step: str, kernels: str, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in decode; ``auto`` after a large array has loaded the kernels, ``numba`` is the limit."""
    FORMAT.encode(activations()).decode()
    monkeypatch.setenv("ANDA_KERNELS", kernels)
    x = activations()[:tokens]
    work = FORMAT.encode(x).decode if step == "decode" else partial(FORMAT.encode, x)
    benchmark.extra_info.update(work=tokens * CHANNELS / 1e9, unit="G values/s")
    benchmark.pedantic(work, rounds=300, warmup_rounds=5)


@pytest.fixture(scope="module")
def operands() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return activations(), rng.standard_normal((CHANNELS, OUTPUTS), np.float32)


@pytest.mark.benchmark(group="GeMM of a few tokens, 4096 x 4096, one core (decode)")
@pytest.mark.parametrize("tokens", [1, 2, 4])
def test_fp_int_gemm_of_tokens(
    benchmark: Any, operands: tuple[Any, Any], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The aim is 1.5 ms."""
    monkeypatch.setattr(parallel, "_available_cores", lambda: 1)
    w = Int4Weights.quantize(operands[1])
    benchmark.extra_info.update(work=CHANNELS * OUTPUTS / 1e9, unit="G weights/s")
    benchmark.pedantic(fp_int_gemm, (FORMAT.encode(operands[0][:tokens]), w), rounds=100, warmup_rounds=3)


@pytest.mark.benchmark(group="GeMM of a few tokens, 4096 x 4096, one core (decode)")
def test_copy_of_the_int8_codes(benchmark: Any, operands: tuple[Any, Any]) -> None:
    benchmark.extra_info.update(work=CHANNELS * OUTPUTS / 1e9, unit="G weights/s")
    benchmark.pedantic(Int4Weights.quantize(operands[1]).codes.copy, rounds=100, warmup_rounds=3)


@pytest.mark.benchmark(group="GeMM of a few tokens, 4096 x 4096, one core (decode)")
def test_numpy_float32_vector_times_matrix(benchmark: Any, operands: tuple[Any, Any]) -> None:
    a = operands[0][0].astype(np.float32)
    benchmark.extra_info.update(work=CHANNELS * OUTPUTS / 1e9, unit="G weights/s", baseline=True)
    benchmark.pedantic(np.matmul, (a, operands[1]), rounds=100, warmup_rounds=3)


@pytest.mark.benchmark(group="GeMM of 2048 x 4096 x 4096, all cores")
@pytest.mark.parametrize("mantissa_bits", [4, 8, 11, 16])
def test_fp_int_gemm(benchmark: Any, operands: tuple[Any, Any], mantissa_bits: int) -> None:
    measure_gemm(benchmark, AndaFormat(mantissa_bits).encode(operands[0]), Int4Weights.quantize(operands[1]))


@pytest.mark.benchmark(group="GeMM of 2048 x 4096 x 4096, all cores")
def test_fp_int_gemm_of_fp32_partial_sums(benchmark: Any, operands: tuple[Any, Any]) -> None:
    measure_gemm(benchmark, FORMAT.encode(operands[0]), Int4Weights.quantize(operands[1]), partial="fp32")


@pytest.mark.benchmark(group="GeMM of 2048 x 4096 x 4096, all cores")
def test_fp_int_gemm_of_affine_weights_in_groups_of_32(benchmark: Any, operands: tuple[Any, Any]) -> None:
    w = Int4Weights.quantize(operands[1], group_size=32)
    measure_gemm(benchmark, FORMAT.encode(operands[0]), Int4Weights(w.codes, w.scales, 32, w.scales))


def measure_gemm(benchmark: Any, a: Any, w: Any, **options: Any) -> None:
    benchmark.extra_info.update(work=2 * TOKENS * CHANNELS * OUTPUTS / 1e9, unit="GFLOP/s")
    benchmark.pedantic(fp_int_gemm, (a, w), options, rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group="GeMM of 2048 x 4096 x 4096, all cores")
def test_numpy_float32_matmul(benchmark: Any, operands: tuple[Any, Any]) -> None:
    a = operands[0].astype(np.float32)
    benchmark.extra_info.update(work=2 * TOKENS * CHANNELS * OUTPUTS / 1e9, unit="GFLOP/s", baseline=True)
    benchmark.pedantic(np.matmul, (a, operands[1]), rounds=7, warmup_rounds=1)

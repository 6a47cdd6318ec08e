"""Speed of simulating the circuits: Amaranth's simulator, and what cxxrtl and Verilator compile."""

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, Int4Weights
from anda_codesign.rtl import AndaPE, MatrixUnit, run_streams
from anda_codesign.rtl.operands import factor_stream, plane_rows_stream, plane_stream, weight_stream
from anda_codesign.rtl.packing import pack
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.tool("g++")


@pytest.mark.benchmark(group="64-lane processing element")
@pytest.mark.parametrize(("simulator", "groups"), [("amaranth", 100), ("cxxrtl", 50_000), ("verilator", 50_000)])
def test_pe(benchmark: BenchmarkFixture, simulator: str, groups: int) -> None:
    rng = np.random.default_rng(0)
    planes = plane_stream(AndaFormat(7).encode(rng.standard_normal((groups, 64)).astype(np.float16)), 64)
    inputs = {"activation": planes, "weights": pack(rng.integers(-8, 8, (groups, 64)), 4)}

    def run() -> None:
        run_streams(AndaPE(), inputs, {"result": groups}, simulator=simulator)

    benchmark.extra_info.update(work=8e-3 * groups, unit="thousand cycles/s", baseline=simulator == "amaranth")
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="16 by 16 matrix unit, 128 tokens, 576 channels, 576 outputs, M = 7")
def test_matrix_unit_cxxrtl(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    a = AndaFormat(7).encode(rng.standard_normal((128, 576)).astype(np.float16))
    w = Int4Weights.quantize(rng.standard_normal((576, 576)))
    rows = plane_rows_stream(a, 16, 64)
    block = len(rows) // 8
    inputs = {
        "planes": [word for start in range(0, len(rows), block) for word in rows[start : start + block] * 36],
        "weights": weight_stream(w, 16, 64, 4) * 8,
        "factors": factor_stream(w, 16, 64) * 8,
    }

    def run() -> None:
        run_streams(MatrixUnit(), inputs, {"outputs": 8 * 36 * 16}, simulator="cxxrtl")

    benchmark.extra_info.update(work=20.756, unit="thousand cycles/s")
    benchmark.pedantic(run, rounds=2, warmup_rounds=1)

# amaranth: UnusedElaboratable=no
"""Speed of simulating the circuits: Amaranth's simulator, and what cxxrtl and Verilator compile.

All three run the same test benches, and see the same payloads in the same cycles. A round is the whole call: elaboration
of the circuit, loading of the compiled one, simulation. Verilator is not asked for the array of 256 units: it writes
code for each of them, and g++ needs minutes for that.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
from amaranth.lib import wiring
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm
from anda_codesign.formats.latency.array import bpc_cycles_per_group
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl import AndaPE, BpcLane, MatrixUnit, run_matrix_unit, run_streams
from anda_codesign.rtl.array.mxu import MatrixUnitParameters
from anda_codesign.rtl.compressor.bpc import BpcLaneParameters
from anda_codesign.rtl.elements.anda_pe import AndaPEParameters
from anda_codesign.rtl.simulation.operands import factor_stream, plane_rows_stream, plane_stream, weight_stream
from anda_codesign.rtl.simulation.packing import Words, pack_words, to_words
from anda_codesign.rtl.simulation.ports import ports
from latencies import matrix_unit_cycles
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.tool("g++")
BITS = 7
SIMULATORS = ["amaranth", "cxxrtl", "verilator"]


def measure(
    benchmark: BenchmarkFixture,
    design: Callable[[], wiring.Component],
    inputs: Mapping[str, Words],
    outputs: Mapping[str, int],
    cycles: int,
    simulator: str,
) -> None:
    """Time whole runs; `cycles` is the number of cycles of one."""

    def run() -> None:
        run_streams(design(), inputs, outputs, simulator=simulator)

    benchmark.extra_info.update(work=cycles, unit="cycles/s", baseline=simulator == "amaranth")
    slow = simulator == "amaranth"
    benchmark.pedantic(run, rounds=1 if slow else 3, warmup_rounds=0 if slow else 1)


def as_words(design: wiring.Component, inputs: Mapping[str, list[int]]) -> dict[str, Words]:
    widths = {port.name: port.width for port in ports(design)}
    return {name: to_words(payloads, widths[f"{name}__payload"]) for name, payloads in inputs.items()}


@cache
def pe_inputs(groups: int, repeated: int = 1) -> dict[str, Words]:
    rng = np.random.default_rng(0)
    planes = plane_stream(AndaFormat(BITS).encode(rng.standard_normal((groups, 64)).astype(np.float16)), 64)
    once = as_words(AndaPE(AndaPEParameters()), {"activation": planes}) | {
        "weights": pack_words(rng.integers(-8, 8, (groups, 64)), 4)
    }
    return {name: np.tile(words, (repeated, 1)) for name, words in once.items()}


@pytest.mark.benchmark(group="64-lane processing element, M = 7")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_pe(benchmark: BenchmarkFixture, simulator: str) -> None:
    # long enough that elaboration and loading, a tenth of a second, are little of it
    groups, repeated = (1000, 1) if simulator == "amaranth" else (250_000, 8)
    cycles = groups * repeated * pe_cycles_per_group(BITS)
    measure(
        benchmark,
        lambda: AndaPE(AndaPEParameters()),
        pe_inputs(groups, repeated),
        {"result": groups * repeated},
        cycles,
        simulator,
    )


@cache
def bpc_inputs(groups: int) -> dict[str, Words]:
    halves = np.random.default_rng(0).standard_normal((groups, 64)).astype(np.float16).view(np.uint16)
    return {"group": pack_words(np.pad(halves, ((0, 0), (0, 1)), constant_values=BITS), 16)[:, :33]}


@pytest.mark.benchmark(group="64-lane compressor lane, M = 7")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bpc(benchmark: BenchmarkFixture, simulator: str) -> None:
    groups = 100 if simulator == "amaranth" else 100_000
    cycles = groups * bpc_cycles_per_group(BITS)
    measure(benchmark, lambda: BpcLane(BpcLaneParameters()), bpc_inputs(groups), {"planes": cycles}, cycles, simulator)


@cache
def array_inputs(size: int, tiles: int, groups: int) -> dict[str, Words]:
    """One block of tokens times as many blocks of outputs as there are tiles."""
    rng = np.random.default_rng(0)
    a = AndaFormat(BITS).encode(rng.standard_normal((size, groups * 64)).astype(np.float16))
    w = Int4Weights.quantize(rng.standard_normal((groups * 64, tiles * size)))
    streams = {
        "planes": plane_rows_stream(a, size, 64) * tiles,
        "weights": weight_stream(w, size, 64, 4),
        "factors": factor_stream(w, size, 64),
    }
    return as_words(MatrixUnit(MatrixUnitParameters(rows=size, columns=size)), streams)


@pytest.mark.benchmark(group="4 by 4 matrix unit, M = 7")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_array_of_16(benchmark: BenchmarkFixture, simulator: str) -> None:
    measure_array(benchmark, simulator, 4, 2 if simulator == "amaranth" else 1000)


@pytest.mark.benchmark(group="16 by 16 matrix unit, M = 7")
@pytest.mark.parametrize("simulator", ["amaranth", "cxxrtl"])
def test_array_of_256(benchmark: BenchmarkFixture, simulator: str) -> None:
    measure_array(benchmark, simulator, 16, 1 if simulator == "amaranth" else 300)


def measure_array(benchmark: BenchmarkFixture, simulator: str, size: int, tiles: int) -> None:
    groups = 9
    cycles = matrix_unit_cycles(tiles, groups, pe_cycles_per_group(BITS), size)
    outputs = {"outputs": tiles * size}
    inputs = array_inputs(size, tiles, groups)
    parameters = MatrixUnitParameters(rows=size, columns=size)
    measure(benchmark, lambda: MatrixUnit(parameters), inputs, outputs, cycles, simulator)


@pytest.mark.benchmark(
    group="16 by 16 matrix unit, 128 tokens x 576 x 576 at M = 8, 6, 8, 7, compared with fp_int_gemm"
)
def test_layer(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((128, 576)).astype(np.float16)
    w = Int4Weights.quantize(rng.standard_normal((576, 576)))

    def run() -> int:
        cycles = 0
        for bits in (8, 6, 8, 7):
            a = AndaFormat(bits).encode(x)
            gemm = run_matrix_unit(a, w, simulator="cxxrtl")
            np.testing.assert_array_equal(gemm.outputs.view(np.uint16), fp_int_gemm(a, w).view(np.uint16))
            cycles += gemm.cycles
        return cycles

    cycles = benchmark.pedantic(run, rounds=1, warmup_rounds=1)
    benchmark.extra_info.update(work=cycles, unit="cycles/s")

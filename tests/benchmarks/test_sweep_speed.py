"""Speed of sweeps: points a second of the kernel, end to end and one by one; finished sweeps that are run again, loaded, and asked.

Run with ``make benchmark``; medians go to docs/benchmarks.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep.points import simulate_points
from anda_codesign.experiments.sweep.run import finish_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep.store import RESULTS, SweepStore, parquet_bytes
from anda_codesign.experiments.sweep_results.results import load_results, query_frame
from anda_codesign.sim import Settings, load_architecture, prepare
from anda_codesign.sim.batch.machines import batch_costs, machine_columns
from anda_codesign.workloads import gemms, model_shape
from pytest_benchmark.fixture import BenchmarkFixture

POINTS = 1_000_000
PARTS = 64


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts and results of a sweep of a million points."""
    rng = np.random.default_rng(0)
    rows = {
        "key": [f"{index:024x}" for index in range(POINTS)],
        "model": "LLaMA-7B",
        "arch": rng.choice(["anda", "fp-fp"], POINTS),
        "precision": "7,5,6,6",
        "cycles": rng.integers(1, 1 << 40, POINTS),
        **{name: rng.random(POINTS) for name in ("seconds", "energy_total_pj", "area_mm2", "loss_percent")},
    }
    frame, folder = pd.DataFrame(rows), tmp_path_factory.mktemp("million")
    for index, part in enumerate(np.array_split(np.arange(POINTS), PARTS)):
        (folder / f"part-{index:02}.parquet").write_bytes(parquet_bytes(frame.iloc[part]))
    (folder / RESULTS).write_bytes(parquet_bytes(frame))
    return folder


def test_finished_points_of_a_million(benchmark: BenchmarkFixture, million: Path):
    """Open the folder, as a rerun does first."""
    assert len(benchmark.pedantic(SweepStore(million).finished, rounds=3)) == POINTS


def test_load_a_million(benchmark: BenchmarkFixture, million: Path):
    """Load all results, as a notebook does; the aim is seconds."""
    assert len(benchmark(load_results, million)) == POINTS


def test_query_a_million(benchmark: BenchmarkFixture, million: Path):
    """The best point of each architecture."""
    sql = "select arch, arg_min(key, energy_total_pj) best from results group by arch"
    assert len(benchmark(lambda: query_frame(load_results(million), sql))) == 2


def test_points_a_second(benchmark: BenchmarkFixture):
    """A batch of 256 points in one process."""
    spec = SweepSpec(
        models=("LLaMA-7B",), archs=("anda",), mantissa_bits=tuple(range(4, 12)), tokens=tuple(range(64, 2049, 64))
    )
    points = spec.points()
    assert len(points) == 256
    assert len(benchmark(simulate_points, points)) == 256


@pytest.mark.benchmark(group="Sweeps of machines, one process")
def test_kernel_points_a_second(benchmark: BenchmarkFixture):
    """LLaMA-7B on 100,000 machines: the compiled kernel alone, one core."""
    count, rng = 100_000, np.random.default_rng(0)
    machine = load_architecture("anda")
    columns = machine_columns(machine, prepare(machine, Settings()).costs, "energy", count)
    columns = columns._replace(
        activation_bits=rng.integers(1 << 21, 1 << 26, count),
        columns=2 ** rng.integers(2, 7, count),
        dram_bits_per_cycle=rng.uniform(100, 9000, count),
    )
    products = gemms(model_shape("LLaMA-7B"))
    table = np.array([[[g.tokens, g.in_channels, g.out_channels, g.repeat, place] for place, g in enumerate(products)]])
    bits = rng.integers(4, 12, (count, 4))
    done = benchmark(batch_costs, columns, bits, np.zeros(count, dtype=np.int64), table).done
    benchmark.extra_info.update(work=count, unit="points/s", baseline=True)
    assert done.all()


def large(points: int) -> SweepSpec:
    """A sweep of machines, 200 for each bandwidth."""
    return SweepSpec.model_validate(
        {
            "models": ["LLaMA-7B"], "archs": ["anda", "fp-fp"], "mantissa_bits": [5, 6, 7],
            "architecture": {
                "activation_buffer.capacity": {"from": 256, "to": 2048, "points": 10, "unit": "KiB"},
                "array.columns": [8, 16, 24, 32, 64],
            },
            "technology": {"dram.bandwidth": {"from": 32, "to": 1024, "points": points // 200}},
        }
    )  # fmt: skip


@pytest.mark.benchmark(group="Sweeps of machines, one process")
def test_points_a_second_end_to_end(benchmark: BenchmarkFixture, tmp_path: Path):
    """100,000 points: rows, keys, Parquet and CSV in one process."""
    folders = (tmp_path / f"{index}" for index in range(100))
    benchmark.pedantic(lambda: finish_sweep(large(100_000), next(folders)), rounds=3, warmup_rounds=1)
    benchmark.extra_info.update(work=100_000, unit="points/s")


@pytest.mark.benchmark(group="Sweeps of machines, one process")
def test_a_finished_sweep_again(benchmark: BenchmarkFixture, tmp_path: Path):
    """6,400 finished points: names and checksums of the parts."""
    finish_sweep(large(6400), tmp_path / "out")
    benchmark(finish_sweep, large(6400), tmp_path / "out")
    benchmark.extra_info.update(work=6400, unit="points/s")

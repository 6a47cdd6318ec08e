"""Speed of sweeps: points a second, and a million finished points that are opened, loaded, and asked.

Run with ``make benchmark``; medians go to docs/benchmarks.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep.points import simulate_points
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep.store import RESULTS, SweepStore, parquet_bytes
from anda_codesign.experiments.sweep_results.results import load_results, query_frame
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

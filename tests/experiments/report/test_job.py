"""The main job from end to end on the real model, on a plan small enough for a test."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.report import evaluation, job
from anda_codesign.experiments.report.evaluation import measure_points
from anda_codesign.experiments.report.machine import simulate_points
from anda_codesign.experiments.report.plan import PlannedPoint
from anda_codesign.formats import InputError
from anda_codesign.workloads import Precision, TextBlocks, sampled_layers, synthetic_decoder
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT

MACHINES = (
    PlannedPoint("baseline", None, 2, arch="fp-fp"),
    PlannedPoint("architecture", None, 2, arch="figna-m8"),
)
PLAN = (
    PlannedPoint("uniform", Precision.uniform(5), 2),
    PlannedPoint("uniform", Precision.uniform(8), 2),
    PlannedPoint("one module", Precision(16, 16, 4, 16), 2),
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(job, "CIRCUIT_WIDTHS", (3,))
    monkeypatch.setattr(job, "plan_points", lambda _blocks: iter(PLAN))
    monkeypatch.setattr(job, "machine_points", lambda _blocks: iter(MACHINES))
    monkeypatch.setattr(evaluation, "evaluation_cache", lambda: tmp_path / "cache")
    return tmp_path


@pytest.mark.model
def test_the_report_folder(small: Path):
    out = small / "report"
    frame = job.report(out=out, blocks=2, tokens=64).frame
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.{kind}"
        for name in ("loss", "sensitivity", "tradeoff", "energy")
        for kind in ("png", "svg", "pdf")
    }
    tables = {"table.csv", "table.parquet", "circuits.csv"}
    assert written == figures | tables | {"report.md", "report.html", "trace.safetensors", "timeline.json"}

    assert frame["kind"].tolist() == ["baseline", "architecture", "uniform", "uniform", "one module"]
    assert frame["loss_percent"].iloc[0] == 0
    losses = frame[frame["architecture"] == "anda"].set_index("precision")["loss_percent"]
    assert frame["loss_percent"].iloc[1] == losses["8,8,8,8"]
    assert losses["5,5,5,5"] > 10 > abs(losses["8,8,8,8"])
    assert pd.read_parquet(out / "table.parquet")["cycles"].tolist() == frame["cycles"].tolist()
    assert (frame[frame["architecture"] == "anda"]["speedup"] > 0.9).all()

    circuits = pd.read_csv(out / "circuits.csv")
    assert circuits["mismatches"].sum() == 0
    assert (circuits["cycles"] == circuits["predicted_cycles"]).all()
    assert set(circuits["circuit"]) == {"anda-pe", "bpc-lane"}

    page = (out / "report.html").read_text()
    markdown = (out / "report.md").read_text()
    for number in (f"{losses['5,5,5,5']:+.2f}", f"{frame['cycles'].iloc[0]:,}", "0 mismatches"):
        assert number in page
        assert number in markdown

    with pytest.raises(InputError, match=r"^out: .*report is not empty"):
        job.report(out=out, blocks=2)


@pytest.mark.model
def test_a_second_run_takes_finished_blocks_from_the_cache(small: Path, monkeypatch: pytest.MonkeyPatch):
    first = job.report(out=small / "first", blocks=2, tokens=64)
    kept = sorted((small / "cache").iterdir())
    assert len(kept) == 2 + sum(point.blocks for point in PLAN)
    stamps = [path.stat().st_mtime_ns for path in kept]
    second = job.report(out=small / "second", blocks=2, tokens=64)
    assert [path.stat().st_mtime_ns for path in sorted((small / "cache").iterdir())] == stamps
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())


def test_one_block_has_no_standard_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"^blocks: 1 .* 2"):
        job.report(out=tmp_path, blocks=1)


def test_traced_layers_of_any_model():
    assert sampled_layers(30) == (0, 11, 29)
    assert sampled_layers(4) == (0, 1, 3)
    assert sampled_layers(1) == (0,)


def test_models_without_a_name_are_simulated():
    shape = synthetic_decoder(SYNTHETIC_OPT).shape
    text = TextBlocks(np.arange(32, dtype=np.int32).reshape(2, 16))
    points = simulate_points(shape, measure_points(synthetic_decoder(SYNTHETIC_OPT), text, MACHINES))
    assert points[0].record["bops_saving"] == 1 and all(point.record["cycles"] > 0 for point in points)

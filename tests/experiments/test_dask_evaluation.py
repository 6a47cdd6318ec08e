"""Searches, studies and reports on a real Dask scheduler with two workers, one of which is killed while it works."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pandas as pd
import pytest
from anda_codesign.experiments.parallel.cluster import evaluation_workers
from anda_codesign.experiments.report.evaluation import measure_points
from anda_codesign.experiments.report.plan import plan_points
from anda_codesign.experiments.study import measure
from anda_codesign.formats import InputError
from anda_codesign.workloads import load_decoder, synthetic_decoder
from anda_codesign.workloads.evaluation.scores import Scorer
from dask_cluster import Cluster, running_cluster, wait_for
from tiny import random_text, tiny_model

from anda_codesign import search, study

SLOW_SCORES = """
    import time
    from anda_codesign.workloads.evaluation.scores import Scorer

    values = Scorer.values

    def slow(self, tokens, hook):
        time.sleep(0.1)
        return values(self, tokens, hook)

    Scorer.values = slow
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Cluster]:
    with running_cluster(tmp_path / "cluster", SLOW_SCORES) as running:
        yield running


def use(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    random_text(monkeypatch, cache)
    return cache / "evaluations"


def nothing_is_computed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Scorer, "values")


def kill_when(cluster: Cluster, condition: Callable[[], bool]) -> threading.Thread:
    def kill() -> None:
        wait_for(condition)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_worker_of_a_study_is_killed_and_every_loss_is_the_same(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = tiny_model(tmp_path / "model")
    monkeypatch.setattr(measure, "MODEL_MANTISSA_BITS", (4, 5, 6))
    use(monkeypatch, tmp_path / "local")
    expected = study(name="fig6", model=model, blocks=4, tokens=64).frame
    cache = use(monkeypatch, tmp_path / "remote")
    nothing_is_computed_here(monkeypatch)
    killing = kill_when(cluster, lambda: len(list(cache.glob("scores-*"))) >= 2)
    found = study(name="fig6", model=model, blocks=4, tokens=64, dask=cluster.address).frame
    killing.join()
    assert cluster.workers[0].poll() is not None
    pd.testing.assert_frame_equal(found, expected)


def test_a_search_and_a_report_take_the_same_steps(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(tmp_path / "model")
    decoder, plan = load_decoder(str(model)), list(plan_points(2))[:3]
    use(monkeypatch, tmp_path / "local")
    text = decoder.blocks("wiki", "heldout", 64, 2)
    local = search(model=model, blocks=4, tokens=64, iterations=4), measure_points(decoder, text, plan)
    use(monkeypatch, tmp_path / "remote")
    nothing_is_computed_here(monkeypatch)
    found = search(model=model, blocks=4, tokens=64, iterations=4, dask=cluster.address)
    assert found.to_dict() == local[0].to_dict()
    with evaluation_workers(cluster.address, model, decoder) as workers:
        measured = measure_points(decoder, text, plan, workers)
    assert measured == local[1]


def test_workers_without_the_model_are_refused(cluster: Cluster, tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    decoder = load_decoder(str(model))
    other = decoder.with_weights(decoder.weights, "another")
    refused = r"^dask: tcp://\S+ cannot do this work \(model: \S+ is another one there; copy the same files\)$"
    with pytest.raises(InputError, match=refused), evaluation_workers(cluster.address, model, other):
        pass
    shutil.rmtree(model)
    with pytest.raises(InputError, match=r"^dask: tcp://\S+ cannot do this work \(model: "):
        evaluation_workers(cluster.address, model, decoder).__enter__()


def test_a_model_object_is_refused():
    decoder = synthetic_decoder()
    with pytest.raises(InputError, match=r"^model: is an object, which the workers of dask cannot load; give its name"):
        evaluation_workers("tcp://127.0.0.1:1", decoder, decoder).__enter__()

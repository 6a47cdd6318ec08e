"""Running sweeps: the same result however, nothing lost, nothing doubled, nothing overwritten."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from anda_codesign.experiments.simulation import simulate
from anda_codesign.experiments.sweep import points, run
from anda_codesign.experiments.sweep.run import run_sweep, undefined_metrics
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep.store import write_atomically
from anda_codesign.formats import InputError
from anda_codesign.formats.documents.schema import check

FILE = """
models: [OPT-125M, OPT-1.3B]
archs: [fp-fp, anda]
mantissa_bits: {from: 4, to: 8}
tokens: [16, 64]
technology:
  dram.bandwidth: [64, 256]
derived:
  edp: energy_total_pj * seconds
"""
POINTS = 2 * 6 * 2 * 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE)
    return path


def parts(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in folder.glob("part-*.parquet")])


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


def test_a_metric_that_divides_by_zero_is_counted(tmp_path: Path):
    spec = SweepSpec(
        models=("OPT-125M",), archs=("anda",), mantissa_bits=(4, 5), tokens=(16,),
        derived={"odd": "1 / (mantissa_bits_o - 4)", "edp": "energy_total_pj * seconds", "name": "arch"},
    )  # fmt: skip
    assert undefined_metrics(spec, run_sweep(spec, tmp_path / "out")) == {"odd": 1}


def test_rows_are_what_a_simulation_says(file: Path, tmp_path: Path):
    frame = run_sweep(file, tmp_path / "out")
    assert len(frame) == POINTS
    row = frame[(frame["arch"] == "anda") & (frame["model"] == "OPT-1.3B") & (frame["dram_bandwidth"] == 256)].iloc[-1]
    record = simulate(model="OPT-1.3B", precision=8, tokens=64).to_dict()
    assert row["precision"] == "8,8,8,8"
    for name in ("cycles", "seconds", "macs", "dram_bytes", "sram_bytes", "bops_saving", "area_mm2"):
        assert row[name] == record[name]
    assert row["energy_total_pj"] == record["energy_pj"]["total"]
    assert row["edp"] == row["energy_total_pj"] * row["seconds"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "results.parquet"), frame)
    assert pd.read_csv(tmp_path / "out" / "results.csv")["cycles"].tolist() == frame["cycles"].tolist()


def test_one_worker_and_several_give_the_same_files(file: Path, tmp_path: Path):
    one, two = run_sweep(file, tmp_path / "one"), run_sweep(file, tmp_path / "two", 2)
    pd.testing.assert_frame_equal(one, two)
    for name in ("results.parquet", "results.csv", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_batch_of_sequences_shares_the_weights(tmp_path: Path):
    spec = SweepSpec(models=("OPT-125M",), archs=("fp-fp",), phases=("decode",), tokens=(8,), batches=(1, 8))
    one, eight = run_sweep(spec, tmp_path / "out").to_dict("records")
    assert eight["macs"] == 8 * one["macs"]
    assert one["dram_bytes"] < eight["dram_bytes"] < 1.1 * one["dram_bytes"]


def test_a_second_run_computes_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    first = run_sweep(file, tmp_path / "out")
    monkeypatch.setattr(points, "_row", None)
    second = run_sweep(file, tmp_path / "out")
    pd.testing.assert_frame_equal(first, second)
    assert capsys.readouterr().err.splitlines()[-1] == f"anda: simulating 0 of {POINTS} points"


CHILD = """
    import sys, time
    from anda_codesign.experiments.sweep import points
    from anda_codesign.experiments.sweep.run import run_sweep

    row = points._row

    def slow(point):
        time.sleep(0.05)
        return row(point)

    points._row = slow
    run_sweep(sys.argv[1], sys.argv[2])
"""


def start(file: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), file, out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_run_goes_on_where_it_was(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    for finished in (3, 7):
        child = start(file, out)
        wait_for(lambda n=finished: len(list(out.glob("part-*.parquet"))) >= n)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    kept = parts(out)
    assert 7 <= len(kept) < POINTS
    (out / ".part-abc.parquet.123-0a1b2c3d.part").write_bytes(b"PAR1")  # what a run killed while writing leaves
    frame = run_sweep(file, out)
    assert capsys.readouterr().err.splitlines()[-1] == f"anda: simulating {POINTS - len(kept)} of {POINTS} points"
    assert sorted(parts(out)["key"]) == sorted(frame["key"])
    assert frame["key"].is_unique
    assert not list(out.glob(".part*"))
    pd.testing.assert_frame_equal(frame, run_sweep(file, tmp_path / "undisturbed"))


def test_two_runs_in_one_folder(file: Path, tmp_path: Path):
    out = tmp_path / "out"
    child = start(file, out)
    try:
        wait_for(lambda: bool(list(out.glob("part-*.parquet"))))
        message = f"out: another run is at work in {out}"
        assert refusal(lambda: run_sweep(file, out)).startswith(message)
    finally:
        child.kill()
        child.wait()
    assert len(run_sweep(file, out)) == POINTS


def test_two_runs_that_start_together(file: Path, tmp_path: Path):
    children = [start(file, tmp_path / "out") for _ in range(2)]
    assert sorted(child.wait() for child in children) == [0, 1]
    assert sorted(parts(tmp_path / "out")["key"]) == sorted(run_sweep(file, tmp_path / "out")["key"])


def test_a_folder_that_only_a_lock_was_made_in_is_free(file: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").touch()
    assert len(run_sweep(file, tmp_path / "out")) == POINTS


def test_foreign_folders_are_left_alone(file: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    assert refusal(lambda: run_sweep(file, out)).startswith(f"out: {out} is not empty and holds no sweep")
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_another_sweep_is_not_overwritten(file: Path, tmp_path: Path):
    out = tmp_path / "out"
    run_sweep(file, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    file.write_text(FILE.replace("tokens: [16, 64]", "tokens: [16]"))
    message = f"out: {out} holds another sweep and is not overwritten"
    assert refusal(lambda: run_sweep(file, out)).startswith(message)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def flipped(content: bytes, place: float) -> bytes:
    """Content with one bit changed."""
    changed = bytearray(content)
    changed[int(place * len(content))] ^= 4
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "short": lambda content: content[:100],
    "nonsense": lambda _: b"nonsense",
    "a bit of a value": lambda content: flipped(content, 0.1),
    "a bit of the footer": lambda content: flipped(content, 0.9),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_computed_again(file: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    frame = run_sweep(file, out)
    damaged = sorted(out.glob("part-*.parquet"))[2]
    content = damaged.read_bytes()
    damaged.write_bytes(DAMAGES[damage](content))
    pd.testing.assert_frame_equal(run_sweep(file, out), frame)
    assert capsys.readouterr().err.splitlines()[-1] == f"anda: simulating 1 of {POINTS} points"
    assert damaged.read_bytes() == content


def test_a_damaged_manifest(file: Path, tmp_path: Path):
    out = tmp_path / "out"
    run_sweep(file, out)
    (out / "manifest.json").write_text("{")
    message = f"out: {out / 'manifest.json'} is damaged"
    assert refusal(lambda: run_sweep(file, out)).startswith(message)


def test_points_of_another_version_are_computed_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    old = run_sweep(file, tmp_path / "out")
    monkeypatch.setattr(points, "model_version", lambda: "another")
    new = run_sweep(file, tmp_path / "out")
    assert capsys.readouterr().err.splitlines()[-1] == f"anda: simulating {POINTS} of {POINTS} points"
    assert set(new["key"]).isdisjoint(old["key"])
    pd.testing.assert_frame_equal(new.drop(columns="key"), old.drop(columns="key"))


def test_a_program_that_changes_during_a_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    simulated = points.simulate_points

    def changed(batch: Any) -> list[dict[str, Any]]:
        return [row | {"key": f"other {row['key']}"} for row in simulated(batch)]

    with monkeypatch.context() as later:
        later.setattr(points, "simulate_points", changed)
        message = "sweep: the program's files changed during the run"
        assert refusal(lambda: run_sweep(file, tmp_path / "out")).startswith(message)
    assert len(run_sweep(file, tmp_path / "out")) == POINTS


def test_batches_hold_every_point_once():
    for count in (0, 1, 63, 64, 1000, 100_000):
        cut = run.batches(list(range(count)))  # pyright: ignore[reportArgumentType]
        assert [point for batch in cut for point in batch] == list(range(count))
        assert all(len(batch) <= run.BATCH_LIMIT for batch in cut)


def test_constraints_on_results(tmp_path: Path):
    fields: dict[str, Any] = {"models": ("OPT-125M",), "archs": ("anda",), "mantissa_bits": (4, 6, 8), "tokens": (64,)}
    everything = run_sweep(SweepSpec(**fields), tmp_path / "all")
    limit = int(everything["cycles"].iloc[1])
    frame = run_sweep(SweepSpec(**fields, constraints=(f"cycles <= {limit}",)), tmp_path / "some")
    assert frame["precision"].tolist() == ["4,4,4,4", "6,6,6,6"]
    message = "constraints: no point meets 'cycles < 0'"
    assert refusal(lambda: run_sweep(SweepSpec(**fields, constraints=("cycles < 0",)), tmp_path / "none")).startswith(
        message
    )
    assert len(parts(tmp_path / "none")) == 3


def test_points_that_cannot_be_simulated_are_left_out(tmp_path: Path):
    spec = SweepSpec(
        models=("OPT-125M",), archs=("fp-fp",), architecture={"activation_buffer.capacity": ("1 MiB", "64 B")}
    )
    for workers in (1, 2):
        file = run.finish_sweep(spec, tmp_path / f"out{workers}", workers)
        assert pd.read_parquet(file)["activation_buffer_capacity"].tolist() == [1 << 20]
        [(reason, count)] = run.left_out_of(file).items()
        assert reason.startswith("activation_buffer.capacity: 64 B is too small for any mapping")
        assert count == 1


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"idle": ["measured", "full", "zero"], "clock_gating": [False, True]}, "clock_gating: idle zero has no power"),
    ({"levels": ["analytical", "events"], "memories": ["flat", "hbm2"]}, "memory: 'hbm2' needs level events"),
    ({"scopes": ["gemms", "model"], "head": ["fp16", "int4"], "allow_overflow": True}, "head: 'int4' applies to whole"),
    ({"prompts": [8], "generates": [8, 2048], "allow_overflow": True}, "generate: 8 of prompt and 2,048 of generate"),
    ({"weights": ["int4", "fp16"], "archs": ["fp-fp", "figna"]}, "weights: fp16"),
]


@pytest.mark.parametrize(("fields", "message"), IMPOSSIBLE, ids=lambda value: value if isinstance(value, str) else "")
def test_settings_that_exclude_each_other_are_left_out_before_the_run(fields: dict[str, Any], message: str):
    asked = check(SweepSpec, {"models": "OPT-125M", "archs": ["fp-fp"], "tokens": 8} | fields, "sweep")
    if "prompts" in fields:
        asked = asked.model_copy(update={"tokens": SweepSpec.model_fields["tokens"].default})
    stream = asked.stream()
    left, numbers = stream.left_out, stream.numbers()
    assert len(numbers) and sum(left.values()) == stream.combinations.size - len(numbers)
    assert all(reason.startswith(message) for reason in left)
    assert [p for p in asked.points() if p.machine_refusal or p.request_refusal] == []


SIMULATED: list[tuple[dict[str, Any], str]] = [
    ({"mappings": ["best", "sums:8x64x16:double/double:buffer"]}, "mapping: fp-fp keeps partial sums in the array"),
    ({"levels": ["analytical", "cycle"]}, "level"),
    ({"scopes": "model", "models": ["OPT-125M", "LLaMA-65B"]}, "memory: LLaMA-65B needs"),
]


@pytest.mark.parametrize(("fields", "message"), SIMULATED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_run_finds_impossible_is_left_out(fields: dict[str, Any], message: str, tmp_path: Path):
    asked = check(SweepSpec, {"models": "OPT-125M", "archs": ["fp-fp"], "tokens": 8} | fields, "sweep")
    file = run.finish_sweep(asked, tmp_path / "out")
    [(reason, count)] = run.left_out_of(file).items()
    assert reason.startswith(message)
    assert count == len(pd.read_parquet(file)) == 1


def killed(_: object) -> None:
    os._exit(1)


def test_a_killed_worker_is_reported(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "simulate_chunk", killed)
    message = "workers: a process was killed"
    assert refusal(lambda: run_sweep(file, tmp_path / "out", 2)).startswith(message)


def test_too_few_workers(file: Path, tmp_path: Path):
    assert refusal(lambda: run_sweep(file, tmp_path / "out", 0)).startswith("workers: 0")
    assert not (tmp_path / "out").exists()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "results.csv"
    path.write_text("before")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    message = f"out: {path} cannot be written (No space left on device)"
    assert refusal(lambda: write_atomically(path, b"after")).startswith(message)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("results.csv", "before")]


def test_a_disk_that_fills_up_during_a_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, real, writes = tmp_path / "out", Path.write_bytes, 0

    def filling(path: Path, content: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes > 6:
            real(path, content[:10])
            raise OSError(28, "No space left on device")
        return real(path, content)

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", filling)
        message = refusal(lambda: run_sweep(file, out))
    assert re.fullmatch(
        rf"out: {out}/part-[\w-]+\.parquet cannot be written \(No space left on device\); .*",
        message,
    )
    kept = parts(out)
    assert len(kept) == 5
    frame = run_sweep(file, out)
    assert len(frame) == POINTS
    assert set(kept["key"]) <= set(frame["key"])


def test_the_manifest_is_the_sweep(file: Path, tmp_path: Path):
    run_sweep(file, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["mantissa_bits"] == [4, 5, 6, 7, 8]
    assert manifest["derived"] == {"edp": "energy_total_pj * seconds"}


def test_rows_of_whole_inferences_are_those_of_simulate(tmp_path: Path):
    fields = {"archs": ["fp-fp", "anda"], "mantissa_bits": 7, "prompts": [16, 64], "generates": 8, "batches": 2}
    derived = {"mj_per_token": "energy_per_token_pj / 1e9"}
    frame = run_sweep(check(SweepSpec, {"models": "OPT-125M", "derived": derived, **fields}, "sweep"), tmp_path / "out")
    assert list(frame["prompt"]) == [16, 64, 16, 64]
    for row in frame.to_dict("records"):
        asked = {"prompt": row["prompt"], "generate": 8, "batch": 2, "arch": row["arch"], "precision": 7}
        one = simulate(model="OPT-125M", **asked).to_dict()
        for name in ("ttft_seconds", "tokens_per_second", "energy_per_token_pj", "kv_cache_bytes", "memory_bytes"):
            assert row[name] == one[name]
        assert row["tpot_mean_seconds"] == one["tpot_seconds"]["mean"]
        assert row["tpot_last_seconds"] == one["tpot_seconds"]["last"]
        assert row["seconds"] == one["total_seconds"]


def test_a_model_that_does_not_fit(tmp_path: Path):
    large = {"models": "LLaMA-65B", "archs": "fp-fp", "prompts": 16, "generates": 2}
    with pytest.raises(InputError, match=r"^memory: LLaMA-65B needs 32\.1 GiB, and the DRAM has"):
        run_sweep(check(SweepSpec, large, "sweep"), tmp_path / "out")
    frame = run_sweep(check(SweepSpec, {**large, "allow_overflow": True}, "sweep"), tmp_path / "other")
    assert frame["memory_bytes"].item() > 32 * 2**30

"""`anda rtl run` and `anda rtl cycles`."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.circuits import accelerator_run
from anda_codesign.formats.accelerator import AcceleratorConfig, Schedule
from anda_codesign.workloads import TextBlocks, capture_trace, synthetic_decoder

from anda_codesign import rtl

Run = Callable[..., Any]
SMALL = ["--tokens", "2", "--k", "32", "--n", "32", "--rows", "2", "--columns", "2", "--simulator", "amaranth"]


@pytest.fixture(scope="module")
def trace_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    capture_trace(synthetic_decoder(), blocks, layers=(1,), tokens=4).save(path)
    return path


def test_a_gemm_of_the_only_trace_in_a_folder(anda: Run, trace_file: Path) -> None:
    answer = anda("rtl", "run", "--m", 3, *SMALL, "--trace", trace_file.parent, "--json", "-")
    assert (answer.status, answer.err) == (0, "")
    record = json.loads(answer.out)
    assert record["mismatches"] == record["differing_records"] == 0
    assert record["cycles"] == record["predicted_cycles"] > 0
    assert record["simulator"] == "amaranth"
    assert (record["compared"], record["m"], record["tokens"], record["k"], record["n"]) == (64, 3, 2, 32, 32)


def test_a_random_gemm_with_compressed_outputs(anda: Run) -> None:
    answer = anda(
        "rtl",
        "run",
        "--m",
        2,
        "--result-m",
        4,
        *["--tokens", "1", "--k", "9", "--n", "3", "--rows", "1", "--columns", "2"],
        "--simulator",
        "amaranth",
    )
    assert answer.status == 0
    assert "A GeMM on the accelerator's circuit (random data, seed 0; amaranth)\n" in answer.out
    assert "1 9 3 2 1 2 64 16 6 0 " in " ".join(answer.out.split())


def test_options_beyond_the_paper(anda: Run) -> None:
    """Three values of one token have few ones at M = 16."""
    shape = ["--m", 16, "--tokens", 1, "--k", 3, "--n", 2, "--rows", 1, "--columns", 2, "--simulator", "amaranth"]
    options = [*shape, "--reconstruct", "midpoint", "--json", "-"]
    plain, skipping = (json.loads(anda("rtl", "run", *options, *more).out) for more in ([], ["--skip-zero-planes"]))
    for record, skips in ((plain, False), (skipping, True)):
        assert record["mismatches"] == record["differing_records"] == 0
        assert record["cycles"] == record["predicted_cycles"]
        assert (record["reconstruct"], record["skip_zero_planes"]) == ("midpoint", skips)
    assert skipping["cycles"] < plain["cycles"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (False, False, False)),
        (["--reconstruct", "nearest"], (False, True, False)),
        (["--reconstruct", "midpoint", "--skip-zero-planes"], (True, False, True)),
    ],
)
def test_options_are_the_machines(
    anda: Run, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: tuple[bool, bool, bool]
) -> None:
    machines: list[AcceleratorConfig] = []

    def stop(plan: Schedule, *_: object, **__: object) -> None:
        machines.append(plan.machine)
        raise KeyboardInterrupt

    monkeypatch.setattr(rtl, "run_accelerator_schedule", stop)
    anda("rtl", "run", *SMALL, *options)
    assert [(each.midpoint, each.nearest, each.skipping) for each in machines] == [expected]


@pytest.mark.parametrize("field", ["mismatches", "differing_records", "predicted_cycles"])
def test_it_fails_where_anything_differs(anda: Run, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    record = dict.fromkeys(accelerator_run.AcceleratorCheck.__dataclass_fields__, 0) | {"simulator": "amaranth"}
    for status, changed in ((0, {}), (1, {field: 1})):
        check = accelerator_run.AcceleratorCheck(**(record | changed))
        monkeypatch.setattr(accelerator_run, "run_gemm", lambda *_, check=check, **__: check)
        assert anda("rtl", "run", "--simulator", "amaranth", "--rows", 1, "--columns", 1).status == status
        assert anda("rtl", "cycles", "--simulator", "amaranth").status == status


def test_large_arrays_take_long(anda: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(accelerator_run, "run_gemm", stop)
    for simulator, note in (("amaranth", "minutes"), ("verilator", "first build"), ("cxxrtl", "first build")):
        error = anda("rtl", "run", "--rows", 16, "--columns", 16, "--simulator", simulator).err
        assert error.startswith("anda: note: ") and note in error and "16 x 16" in error


@pytest.mark.parametrize(
    ("options", "message"), [("--layer 0", "layer: random data .*"), ("--seed -1", "seed: -1 .* 0")]
)
def test_random_data(refused: Run, options: str, message: str) -> None:
    assert re.match(message, refused("rtl", "run", *options.split()))


def test_the_default_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert accelerator_run.default_simulator() == "amaranth"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--tokens 4 --k 999", "k: 999 .* 1 to 128"),
        ("--tokens 5 --k 64 --n 8", "tokens: 5 .* 1 to 4"),
        ("--tokens 4 --k 64 --n 999", "n: 999 .* 1 to 128"),
        ("--n 0", "n: 0 .* 1"),
        ("--m 17", "m: 17 .* 1 to 16"),
        ("--reconstruct up", "reconstruct: .*'up'.* truncate, midpoint, nearest"),
        ("--result-m 0", "result_m: 0 .* 1 to 16"),
        ("--module v", "module: 'v' .* qkv, o, u, d"),
        ("--layer 0 --tokens 4 --k 64 --n 8", "layer: 0 .* 1"),
        ("--simulator icarus", "simulator: .*'icarus'.* amaranth, cxxrtl, verilator"),
        ("--trace nothing", "trace: nothing .*`anda trace capture`"),
        ("--tokens 2 --k 32 --n 8 --rows 1 --columns 3 --simulator amaranth", "columns: 3 .* 64 lanes.*"),
        ("--tokens 2 --k 32 --n 8 --rows 1 --columns 4 --latency 1 --simulator amaranth", "latency_cycles: 1 .* 2 to 4095"),
    ],
)  # fmt: skip
def test_bad_input(refused: Run, trace_file: Path, options: str, message: str) -> None:
    given = options if "--trace" in options else f"--trace {trace_file} {options}"
    given = given if "--simulator" in given else f"{given} --simulator cxxrtl"
    assert re.match(message, refused("rtl", "run", *given.split()))


@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_a_missing_tool(refused: Run, monkeypatch: pytest.MonkeyPatch, simulator: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    message = f"simulator: {simulator} needs the C++ compiler g++"
    small = ["--tokens", "1", "--k", "8", "--n", "8", "--rows", "1", "--columns", "1"]
    assert refused("rtl", "run", *small, "--simulator", simulator).startswith(message)

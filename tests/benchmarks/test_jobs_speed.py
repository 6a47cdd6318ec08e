"""Speed of whole jobs beside their limits: loading of the model, cold builds of circuits, a prefill in events, the report.

Run with ``make benchmark``; the tables are in docs/performance.md.
"""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from amaranth.back import rtlil
from anda_codesign.rtl import MatrixUnit
from anda_codesign.rtl.array.mxu import MatrixUnitParameters
from anda_codesign.rtl.simulation.build import CompiledSimulator, build
from anda_codesign.rtl.simulation.ports import ports
from anda_codesign.sim import simulate_model
from anda_codesign.workloads import Precision, load_decoder, model_shape
from anda_codesign.workloads.fetch import data_paths
from anda_codesign.workloads.files import file_sha256
from pytest_benchmark.fixture import BenchmarkFixture

UNIT = MatrixUnitParameters(rows=4, columns=4)
LOADING = pytest.mark.benchmark(group="The built-in model")
COLD = pytest.mark.benchmark(group="Cold build of a 4 by 4 matrix unit")
PREFILL = pytest.mark.benchmark(group="Prefill of LLaMA-65B, 2048 tokens")
REPORT = pytest.mark.benchmark(group="Report of the built-in model")


def label(benchmark: BenchmarkFixture, unit: str, baseline: bool = False) -> None:
    benchmark.extra_info.update(work=1, unit=unit, baseline=baseline)


@LOADING
@pytest.mark.model
def test_loading(benchmark: BenchmarkFixture) -> None:
    """Weights and tokenizer from the GGUF file, whose checksum is compared; the aim is 0.6 s."""
    benchmark.pedantic(load_decoder, rounds=3, warmup_rounds=1)
    label(benchmark, "models/s")


@LOADING
@pytest.mark.model
def test_checksum_of_the_file(benchmark: BenchmarkFixture) -> None:
    """The limit: every byte is read once."""
    benchmark.pedantic(file_sha256, args=(data_paths().model,), rounds=3, warmup_rounds=1)
    label(benchmark, "models/s", baseline=True)


@COLD
@pytest.mark.tool("g++")
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_cold_build(
    benchmark: BenchmarkFixture, simulator: CompiledSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elaboration, netlist, C++ and compiler with an empty cache; the aims are 4 s and 9 s."""
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    unit = MatrixUnit(UNIT)
    benchmark.pedantic(build, args=(unit, ports(unit), simulator), rounds=1)
    label(benchmark, "builds/s")


@COLD
def test_elaboration(benchmark: BenchmarkFixture) -> None:
    """Elaboration alone, which no compiler saves."""
    benchmark.pedantic(lambda: rtlil.convert(MatrixUnit(UNIT)), rounds=1)
    label(benchmark, "builds/s", baseline=True)


@PREFILL
@pytest.mark.parametrize("memory", ["flat", "hbm2"])
def test_events(benchmark: BenchmarkFixture, memory: str) -> None:
    """Every GeMM of all layers in events; the aims are 2 s and 3 s."""
    work = (model_shape("LLaMA-65B"), "anda", Precision.uniform(7))
    options = {"tokens": 2048, "level": "events", "memory": memory}
    benchmark.pedantic(simulate_model, args=work, kwargs=options, rounds=2)
    label(benchmark, "models/s")


@PREFILL
def test_closed_form(benchmark: BenchmarkFixture) -> None:
    """The limit: the same model from formulas."""
    work = (model_shape("LLaMA-65B"), "anda", Precision.uniform(7))
    benchmark.pedantic(simulate_model, args=work, kwargs={"tokens": 2048}, rounds=5, warmup_rounds=1)
    label(benchmark, "models/s", baseline=True)


@REPORT
@pytest.mark.model
def test_report_of_known_losses(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The report besides evaluation, which the first run leaves in the cache; the aims are 5 s and 600 MB."""
    anda, folders = Path(sys.executable).with_name("anda"), (tmp_path / str(index) for index in count())
    peaks: list[int] = []

    def run() -> None:
        command = [anda, "report", "--blocks", "2", "--out", next(folders)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)

    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    label(benchmark, "reports/s")
    benchmark.extra_info["peak MiB"] = round(max(peaks[1:]) / 1024)


@REPORT
@pytest.mark.model
def test_start_and_model(benchmark: BenchmarkFixture) -> None:
    """The limit: a process that imports the package and loads the model."""
    program = "from anda_codesign.workloads import load_decoder; load_decoder()"
    command = [sys.executable, "-c", program]
    benchmark.pedantic(lambda: subprocess.run(command, check=True), rounds=2, warmup_rounds=1)
    label(benchmark, "reports/s", baseline=True)

"""Speed of the machine's uses: one design point, one GeMM in events, a whole model in events; and the command's memory.

Run with ``make benchmark``; the medians are in docs/simulator.md.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from anda_codesign.sim import load_architecture, load_technology, simulate, simulate_model
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.sim.cost.search import best_mapping
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape
from pytest_benchmark.fixture import BenchmarkFixture

COMMAND = "simulate --gemm 2048x4096x4096 --arch anda --m 8 --level events --json -"


@pytest.mark.benchmark(group="Closed form")
def test_closed_form_of_a_whole_model(benchmark: BenchmarkFixture):
    """LLaMA-13B prefill on one design; the aim is 0.3 ms."""
    benchmark.extra_info |= {"work": 1, "unit": "designs/s"}
    work, machine, technology = gemms(model_shape("LLaMA-13B")), load_architecture("anda"), load_technology()
    result = benchmark(simulate, work, machine, Precision(7, 5, 6, 6), "analytical", technology)
    assert result.level == "analytical"


@pytest.mark.benchmark(group="Search for the best mapping")
@pytest.mark.parametrize("partial_sums", ["array", "buffer"])
@pytest.mark.parametrize("gemm", ["2048x4096x4096", "64x28672x8192", "2048x11008x4096"])
def test_search_of_one_gemm(benchmark: BenchmarkFixture, gemm: str, partial_sums: str, monkeypatch: pytest.MonkeyPatch):
    """The optimum of the mapping space on FP-FP; the aim is 1 ms."""
    monkeypatch.setenv("ANDA_KERNELS", "numba")  # as it is after the first hundred searches
    benchmark.extra_info |= {"work": 1, "unit": "GeMMs/s"}
    machine = load_architecture("fp-fp").model_copy(update={"partial_sums": partial_sums})
    costs = unit_costs(machine, load_technology())
    shape = map_gemm(Gemm.parse(gemm), machine, Precision.uniform(16))
    mapping = benchmark(best_mapping, shape, costs, "energy")
    assert partial_sums in ("buffer", mapping.partial_sums)


@pytest.mark.benchmark(group="Closed form")
def test_closed_form_of_a_whole_model_with_sums_in_the_buffer(
    benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch
):
    """LLaMA-13B prefill on one design, sums in a buffer allowed; the aim is 1 ms."""
    monkeypatch.setenv("ANDA_KERNELS", "numba")
    benchmark.extra_info |= {"work": 1, "unit": "designs/s"}
    machine = load_architecture("anda").model_copy(update={"partial_sums": "buffer"})
    work, technology = gemms(model_shape("LLaMA-13B")), load_technology()
    result = benchmark(simulate, work, machine, Precision(7, 5, 6, 6), "analytical", technology)
    assert result.level == "analytical"


@pytest.mark.benchmark(group="Events")
def test_events_of_one_gemm(benchmark: BenchmarkFixture):
    """2048 x 4096 x 4096 at M = 8; the aim is 0.1 s."""
    benchmark.extra_info |= {"work": 1, "unit": "GeMMs/s"}
    work = [Gemm.parse("2048x4096x4096")]
    result = benchmark(simulate, work, "anda", Precision.uniform(8), "events")
    assert result.level == "events"


@pytest.mark.benchmark(group="Instructions")
def test_instructions_of_one_gemm(benchmark: BenchmarkFixture):
    """512 x 2048 x 2048 at M = 8 on the circuit's program."""
    benchmark.extra_info |= {"work": 1, "unit": "GeMMs/s"}
    work = [Gemm.parse("512x2048x2048")]
    result = benchmark(simulate, work, "anda", Precision.uniform(8), "cycle")
    assert result.level == "cycle"


@pytest.mark.benchmark(group="Events of a whole model")
@pytest.mark.parametrize("memory", ["flat", "hbm2"])
def test_events_of_a_prefill(benchmark: BenchmarkFixture, memory: str):
    """All of LLaMA-7B, 2048 tokens; the aim is 2 s with either memory."""
    benchmark.extra_info |= {"work": 1, "unit": "models/s"}
    options = {"tokens": 2048, "level": "events", "memory": memory}
    result = benchmark(simulate_model, model_shape("LLaMA-7B"), "anda", Precision.uniform(7), **options)
    assert result.level == "events"


@pytest.mark.benchmark(group="Events of a whole model")
def test_events_of_a_decode_step(benchmark: BenchmarkFixture):
    """All of LLaMA-7B, one token after 2048; the aim is 2 s."""
    benchmark.extra_info |= {"work": 1, "unit": "models/s"}
    result = benchmark(
        simulate_model, model_shape("LLaMA-7B"), "anda", Precision.uniform(7), "decode", 1, 2048, level="events"
    )
    assert result.level == "events"


@pytest.mark.benchmark(group="The command")
def test_the_command_from_start_to_end(benchmark: BenchmarkFixture):
    """Interpreter, imports and output included; its peak of resident memory, below 150 MB, is in the table."""
    benchmark.extra_info |= {"work": 1, "unit": "runs/s"}
    anda = Path(sys.executable).with_name("anda")

    def run() -> bytes:
        return subprocess.run([anda, *COMMAND.split()], check=True, capture_output=True).stdout

    result = json.loads(benchmark.pedantic(run, rounds=3))
    assert result["level"] == "events"
    # of all children so far; nothing in this file starts another
    benchmark.extra_info["peak MiB"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    assert benchmark.extra_info["peak MiB"] < 150

"""Speed of the machine's three uses: one design point, one GeMM in events, one model in events.

Run with ``make benchmark``; medians go to docs/benchmarks.
"""

import resource

from anda_codesign.sim import load_architecture, load_technology, parse_gemm, simulate
from anda_codesign.workloads import Precision, gemms, model_shape
from pytest_benchmark.fixture import BenchmarkFixture


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_closed_form_of_a_whole_model(benchmark: BenchmarkFixture):
    """LLaMA-13B prefill on one design; the aim is 0.3 ms."""
    work, machine, technology = gemms(model_shape("LLaMA-13B")), load_architecture("anda"), load_technology()
    result = benchmark(simulate, work, machine, Precision(7, 5, 6, 6), "closed", technology)
    assert result.level == "closed"


def test_events_of_one_gemm(benchmark: BenchmarkFixture):
    """2048 x 4096 x 4096 at M = 8; the aims are 0.1 s and 150 MB."""
    work = [parse_gemm("2048x4096x4096")]
    result = benchmark(simulate, work, "anda", Precision.uniform(8), "events")
    benchmark.extra_info["peak MiB"] = round(peak_mebibytes())
    assert result.level == "events"


def test_events_of_a_prefill(benchmark: BenchmarkFixture):
    """LLaMA-7B, 2048 tokens; the aim is 2 s."""
    work = gemms(model_shape("LLaMA-7B"))
    result = benchmark(simulate, work, "anda", Precision.uniform(7), "events")
    assert result.level == "events"


def test_events_of_a_decode_step(benchmark: BenchmarkFixture):
    """LLaMA-7B, one token after 2048; the aim is 2 s."""
    work = gemms(model_shape("LLaMA-7B"), phase="decode", tokens=1, context=2048)
    result = benchmark(simulate, work, "anda", Precision.uniform(7), "events")
    assert result.level == "events"

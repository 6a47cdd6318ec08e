import json
from collections import defaultdict
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import SimulationResult, Timeline, load_technology, simulate, simulate_model
from anda_codesign.sim.processes.timeline import UNITS
from anda_codesign.workloads import Gemm, Precision, model_shape

WORK = [Gemm("u", 300, 2048, 512, 4), Gemm("d", 40, 512, 2048)]
CLOCK = 285e6
NEAREST = 1e-4
"""Times are whole nanoseconds, cycles of this clock 3.5 of them."""


def trace(gigabytes: float = 256) -> tuple[dict[str, list[dict]], SimulationResult]:
    """Events by kind, and the result of the run they belong to."""
    timeline = Timeline(CLOCK)
    technology = load_technology().with_bandwidth(gigabytes)
    result = simulate(WORK, "anda", Precision.uniform(5), "events", technology, timeline=timeline)
    kinds: dict[str, list[dict]] = defaultdict(list)
    for event in timeline.to_chrome()["traceEvents"]:
        kinds[event["ph"]].append(event)
    return kinds, result


def cycles(microseconds: float) -> float:
    return microseconds * CLOCK / 1e6


def test_every_unit_has_a_named_track():
    kinds, _ = trace()
    assert [e["args"]["name"] for e in kinds["M"]] == ["accelerator", *UNITS]
    assert {e["tid"] for e in kinds["X"]} == {i for i, name in enumerate(UNITS) if name != "vector unit"}


def test_spans_of_a_track_lie_side_by_side():
    for gigabytes in (4, 256):
        kinds, _ = trace(gigabytes)
        for track in range(len(UNITS)):
            spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in kinds["X"] if e["tid"] == track)
            assert all(second[0] >= first[1] - 1e-6 for first, second in pairwise(spans))


CLOCKS = [32e3, 100e6, 133e6, 200e6, 250e6, 285e6, 333e6, 400e6, 500e6, 667e6, 800e6, 1e9, 1.2e9, 1.5e9, 2e9, 3e9]


@pytest.mark.parametrize("clock_hz", CLOCKS)
def test_spans_meet_in_the_nanoseconds_of_perfetto(clock_hz: float):
    """Perfetto's importer: `static_cast<int64_t>(value * 1000)` for start and length, each by itself."""
    timeline = Timeline(clock_hz)
    bounds = np.random.default_rng(0).integers(1, 200, 20_000).cumsum().tolist()
    timeline.origin = 10**9
    for start, stop in pairwise(bounds):
        timeline.span("array", "multiply", start, stop)
    spans = json.loads(json.dumps(timeline.to_chrome()))["traceEvents"][-len(bounds) + 1 :]
    starts = [int(span["ts"] * 1000) for span in spans]
    ends = [start + int(span["dur"] * 1000) for start, span in zip(starts, spans, strict=True)]
    assert ends[:-1] == starts[1:]
    exact = [Fraction(10**9 + cycle) * 10**9 / Fraction(clock_hz) for cycle in bounds]
    assert max(abs(start - time) for start, time in zip(starts, exact, strict=False)) <= Fraction(51, 100)


def test_the_array_works_or_waits():
    """Its working spans are the array's cycles, its waiting spans what the report says."""
    kinds, result = trace(4)
    array = [e for e in kinds["X"] if e["tid"] == UNITS.index("array")]
    work = sum(cycles(e["dur"]) for e in array if e["name"] == "multiply")
    wait = sum(cycles(e["dur"]) for e in array if e["name"] != "multiply")
    waiting = [run.report.waiting for run in result.runs]
    assert work == pytest.approx(sum(run.array_cycles for run in result.runs), rel=NEAREST)
    assert wait == pytest.approx(sum(w.resident + w.stream + w.results for w in waiting), rel=NEAREST)
    assert wait > 0


def test_the_controller_shows_one_gemm_after_the_other():
    kinds, result = trace()
    spans = [e for e in kinds["X"] if e["tid"] == UNITS.index("controller")]
    assert [e["name"] for e in spans] == ["u 300x2048x512", "d 40x512x2048"]
    assert [cycles(e["dur"]) for e in spans] == pytest.approx([run.cycles for run in result.runs], rel=NEAREST)
    assert spans[1]["ts"] == pytest.approx(spans[0]["ts"] + spans[0]["dur"])


def test_bytes_of_the_transfers_are_the_traffic():
    kinds, result = trace()
    moved = sum(e["args"].get("bytes", 0) for e in kinds["X"])
    total = sum(run.traffic.dram_bits for run in result.runs) / 8
    assert moved == pytest.approx(total, abs=len(kinds["X"]))


def test_buffers_hold_no_more_than_they_can_and_end_empty():
    for gigabytes in (4, 256):
        kinds, _ = trace(gigabytes)
        for tensor, capacity in (("activations", 1152), ("weights", 1024)):
            held = [e["args"]["KiB"] for e in kinds["C"] if e["name"] == f"{tensor} held"]
            assert min(held) == held[-1] == 0
            assert 0 < max(held) <= capacity


def test_bandwidth_stays_below_that_of_the_memory():
    """A transfer ends in a whole cycle, so its mean may be a little above."""
    kinds, _ = trace(4)
    rates = [e["args"]["GB/s"] for e in kinds["C"] if e["name"] == "DRAM"]
    assert 0 < max(rates) < 4 * 1.05


def test_the_file_is_json_and_never_overwritten(tmp_path: Path):
    timeline = Timeline(CLOCK)
    simulate(WORK[1:], "fp-fp", Precision.uniform(5), "events", timeline=timeline)
    path = tmp_path / "trace.json"
    timeline.write(path)
    assert json.loads(path.read_text()) == timeline.to_chrome()
    with pytest.raises(InputError, match=f"^timeline: {path} exists"):
        timeline.write(path)
    missing = tmp_path / "none" / "trace.json"
    with pytest.raises(InputError, match=f"^timeline: {missing} cannot be written"):
        timeline.write(missing)


def test_a_timeline_needs_events():
    with pytest.raises(InputError, match=r"^timeline: level analytical has no events"):
        simulate(WORK, "anda", Precision.uniform(5), timeline=Timeline(CLOCK))


def test_a_timeline_changes_nothing():
    _, seen = trace()
    assert seen.runs == simulate(WORK, "anda", Precision.uniform(5), "events").runs


def test_a_whole_model_uses_every_unit():
    """One layer's GeMMs, then the attention, whose softmax runs beside the array, then the vector unit."""
    timeline = Timeline(CLOCK)
    simulate_model(
        model_shape("SmolLM2-135M"), "anda", Precision.uniform(5), tokens=64, level="events", timeline=timeline
    )
    spans = [e for e in timeline.to_chrome()["traceEvents"] if e["ph"] == "X"]
    assert {e["tid"] for e in spans} == set(range(len(UNITS)))
    names = [e["name"] for e in spans if e["tid"] == UNITS.index("controller")]
    assert names[4:9] == ["attention", "norms", "activation", "residuals", "rotation"]
    assert names[9].startswith("head")
    softmax = [e for e in spans if e["name"] == "softmax"]
    array = [e for e in spans if e["name"] in ("scores", "values")]
    beside = sum(a["ts"] < s["ts"] + s["dur"] and s["ts"] < a["ts"] + a["dur"] for s in softmax for a in array)
    assert beside > len(softmax) / 2
    for track in range(len(UNITS)):
        times = sorted((e["ts"], e["ts"] + e["dur"]) for e in spans if e["tid"] == track)
        assert all(second[0] >= first[1] - 1e-6 for first, second in pairwise(times))

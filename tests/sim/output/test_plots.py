from itertools import product

import pytest
from anda_codesign.sim import load_technology, simulate, simulate_model
from anda_codesign.sim.output.plots import (
    cycle_figure,
    energy_figure,
    overview_figure,
    roof,
    roofline_figure,
    roofline_point,
)
from anda_codesign.workloads import Precision, gemms, model_shape

WORK = gemms(model_shape("OPT-1.3B"), tokens=64)
RESULTS = [simulate(WORK, name, Precision(7, 5, 6, 6)) for name in ("fp-fp", "anda")]


def heights(axes, bar: int) -> float:  # type: ignore[no-untyped-def]
    """All boxes that stand on one place of the x axis, on top of each other."""
    boxes = [p for p in axes.patches if round(p.get_x() + p.get_width() / 2) == bar]
    return sum(box.get_height() for box in boxes)


def test_energy_bars_are_as_high_as_the_totals():
    axes = energy_figure(RESULTS).axes[0]
    for bar, result in enumerate(RESULTS):
        assert heights(axes, bar) == pytest.approx(result.energy_pj.total / 1e12)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["DRAM", "SRAM", "compute"], "as they are stacked"


def test_cycle_bars_are_as_high_as_the_totals():
    axes = cycle_figure(RESULTS).axes[0]
    for bar, result in enumerate(RESULTS):
        assert heights(axes, bar) == pytest.approx(result.cycles)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["d", "u", "o", "qkv"]


def test_every_point_lies_under_the_roof():
    for name, gigabytes in product(("fp-fp", "anda", "figna-m8"), (0.1, 10, 256)):
        result = simulate(WORK, name, Precision(7, 5, 6, 6), technology=load_technology().with_bandwidth(gigabytes))
        bandwidth, peak = roof(result)
        assert bandwidth == pytest.approx(gigabytes * 1e9)
        for run in result.runs:
            intensity, rate = roofline_point(run, result.machine.clock_hz)
            assert rate <= min(peak, intensity * bandwidth) * (1 + 1e-9)
        lines = roofline_figure(result).axes[0].get_lines()
        assert len(lines) == 1 + len(result.runs)


def test_the_roof_of_fp_fp():
    bandwidth, peak = roof(RESULTS[0])
    assert (bandwidth, peak) == (pytest.approx(256e9), 1024 * 285e6)


def test_an_overview_of_whole_models():
    shape = model_shape("OPT-1.3B")
    results = [simulate_model(shape, name, Precision(7, 5, 6, 6), tokens=64) for name in ("fp-fp", "anda")]
    energy, cycles, roofline = overview_figure(results).axes
    for bar, result in enumerate(results):
        assert heights(energy, bar) == pytest.approx(result.energy_pj.total / 1e12)
        assert heights(cycles, bar) == pytest.approx(result.cycles)
    labels = [t.get_text() for t in roofline.get_legend().get_texts()]
    assert sorted(labels) == ["anda", "d", "fp-fp", "o", "qkv", "u"]

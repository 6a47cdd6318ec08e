"""Uncertain constants: their ranges, how often an architecture wins, and what that hangs on."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec, load_spec
from anda_codesign.experiments.sweep.uncertainty import Uncertainty
from anda_codesign.experiments.sweep_results.wins import driver_frame, wilson_interval, win_frame
from anda_codesign.formats import InputError
from anda_codesign.sim import load_technology

FIELDS: dict[str, Any] = {
    "models": "OPT-125M",
    "archs": ["fp-fp", "figna-m8", "anda"],
    "precisions": ("7,6,6,6",),
    "tokens": 64,
    "sampling": {"method": "latin-hypercube", "points": 20, "seed": 1, "for_each": ("archs",)},
}


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


def test_ranges_are_those_of_the_sources():
    ranges = Uncertainty(spread_percent=20, values=3).constants("paper-16nm")
    assert ranges["array.area"] == (0.405, 0.41, 0.415)  # printed digits
    assert ranges["elements.figna-m8.power"] == (0.095, 0.1, 0.105)
    assert ranges["dram.energy"] == pytest.approx((3.12, 3.9, 4.68))  # words alone
    assert not ranges.keys() & {"elements.fp-fp.area", "elements.fp-fp.power"}  # the others are relative to it
    assert not [name for name in ranges if name.startswith("reference")]
    constants = load_technology("paper-16nm").model_dump(by_alias=True)
    for name, (low, _, high) in ranges.items():
        value: Any = constants
        for key in name.split("."):
            value = value[key]
        assert 0 < low < value["value"] < high


def test_every_range_can_be_widened():
    ranges = Uncertainty(spread_percent=20, at_least_percent=10, values=2).constants("paper-16nm")
    assert ranges["array.area"] == pytest.approx((0.369, 0.451))
    assert ranges["dram.energy"] == pytest.approx((3.12, 4.68))


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    spec = SweepSpec(**FIELDS, uncertainty=Uncertainty(spread_percent=30, at_least_percent=20))
    return run_sweep(spec, tmp_path_factory.mktemp("sweep") / "out")


def test_wins_count_pairs_of_the_same_constants(frame: pd.DataFrame):
    table = win_frame(frame, "anda", "energy_total_pj").set_index("arch")
    assert list(table.index) == ["fp-fp", "figna-m8"]
    assert (table["samples"] == 20).all()
    ours, theirs = (frame[frame["arch"] == arch]["energy_total_pj"].to_numpy() for arch in ("anda", "figna-m8"))
    ratio = theirs / ours
    row = table.loc["figna-m8"]
    assert row["wins"] == (ratio > 1).sum()
    assert row["ratio_least"] == pytest.approx(ratio.min())
    assert row["ratio_median"] == pytest.approx(np.median(ratio))
    assert row["low"] <= row["probability"] <= row["high"]


def test_drivers_are_ranked(frame: pd.DataFrame):
    drivers = driver_frame(frame, "anda", "fp-fp", "area_mm2")
    correlations = drivers["rank_correlation"].abs()
    assert correlations.is_monotonic_decreasing
    assert set(drivers["constant"].head(3)) & {"array_area", "elements_anda_area", "activation_buffer_area"}


def test_wilson():
    assert wilson_interval(0, 10) == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert wilson_interval(5, 10) == pytest.approx([0.2366, 0.7634], abs=1e-4)


def test_what_is_refused(frame: pd.DataFrame):
    assert refusal(lambda: win_frame(frame, "tpu", "seconds")).startswith("wins: 'tpu'")
    message = refusal(lambda: win_frame(frame, "anda", "beauty"))
    assert message.startswith("wins: 'beauty'")
    one = frame[frame["arch"] == "anda"]
    assert refusal(lambda: win_frame(one, "anda", "seconds")).startswith(
        "wins: anda is the only architecture of this sweep"
    )
    twice = pd.concat([frame, one])
    assert refusal(lambda: win_frame(twice, "anda", "seconds")).startswith(
        "wins: anda has several rows at the same constants"
    )
    two = SweepSpec(**FIELDS, uncertainty=Uncertainty(), technologies=("paper-16nm", "cacti-16nm"))
    assert refusal(two.points).startswith("uncertainty: varies the constants of one technology")


def test_the_built_in_question_varies_every_constant():
    spec = load_spec("uncertainty")
    points = spec.points()
    assert len(points) == 200 * 7
    assert len(points[0].technology_settings) == len(Uncertainty().constants("paper-16nm"))


def test_the_command(anda: Callable[..., Any], refused: Callable[..., str], tmp_path: Path):
    spec = SweepSpec(**FIELDS, uncertainty=Uncertainty())
    run_sweep(spec, tmp_path / "out")
    answer = anda("results", tmp_path / "out", "--wins", "anda:energy_total_pj")
    assert re.search(r"figna-m8 +20 +20 +1 ", answer.out)
    assert "rank correlation" in answer.out
    assert '"probability":1.0' in anda(
        "results", tmp_path / "out", "--wins", "anda:seconds", "--json", "-"
    ).out.replace(" ", "")
    assert refused("results", tmp_path / "out", "--wins", "anda").startswith("wins: 'anda'")

"""Losses within their error never rank: fronts, wins and the best line of a report."""

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep_results.errors import PairedErrors, rank_values
from anda_codesign.experiments.sweep_results.results import pareto_front
from anda_codesign.experiments.sweep_results.wins import driver_frame, win_frame


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def losses(rng: np.random.Generator, means: list[float], shared: float = 1.0, own: float = 0.05) -> pd.DataFrame:
    """Rows with 16 blocks each; most of the spread is shared by all rows."""
    blocks = rng.normal(0, shared, 16)
    values = [mean + blocks - blocks.mean() + rng.normal(0, own, 16) for mean in means]
    return pd.DataFrame(
        {
            "loss_percent": [float(own.mean()) for own in values],
            "loss_standard_error_percent": [float(own.std(ddof=1) / 4) for own in values],
            "loss_blocks_percent": [str([round(float(v), 6) for v in own]) for own in values],
        }
    )


def test_differences_are_paired(rng: np.random.Generator):
    frame = losses(rng, [1.0, 1.5])
    paired = PairedErrors(frame, "loss_percent").of(0)
    unpaired = PairedErrors(frame.drop(columns="loss_blocks_percent"), "loss_percent").of(0)
    assert paired[0] == 0
    assert 0 < paired[1] < 0.1 < unpaired[1]
    assert not PairedErrors(frame.assign(seconds=1.0), "seconds")


def test_a_design_within_the_error_of_a_cheaper_one_is_not_on_the_front(rng: np.random.Generator):
    frame = losses(rng, [1.0, 1.001, 3.0]).assign(seconds=[2.0, 1.0, 0.5])
    assert pareto_front(frame, ["loss_percent", "seconds"]).tolist() == [False, True, True]
    exact = frame.drop(columns=["loss_blocks_percent", "loss_standard_error_percent"])
    exact["loss_percent"] = [1.0, 1.001, 3.0]
    assert pareto_front(exact, ["loss_percent", "seconds"]).all()


def test_negative_losses_count_as_zero():
    frame = pd.DataFrame({"loss_percent": [-0.8, -0.2, 0.5], "seconds": [3.0, 2.0, 1.0]})
    assert pareto_front(frame, ["loss_percent", "seconds"]).tolist() == [False, True, True]
    assert rank_values(np.array([-1.0, 2.0]), "seconds").tolist() == [-1.0, 2.0]


def test_a_front_is_never_empty(rng: np.random.Generator):
    for _ in range(50):
        frame = losses(rng, list(rng.normal(1, 0.1, 12)), own=0.3).assign(
            seconds=rng.integers(1, 4, 12), area_mm2=rng.integers(1, 4, 12)
        )
        assert pareto_front(frame, ["loss_percent", "seconds", "area_mm2"]).any()


def table(ours: list[float], theirs: list[float]) -> pd.DataFrame:
    rows = [
        {"arch": arch, "dram_power": power, "cycles": 1.0, "tops": value}
        for arch, values in (("anda", ours), ("figna", theirs))
        for power, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_more_is_better_with_a_minus():
    (row,) = win_frame(table([4.0, 5.0, 6.0], [2.0, 5.0, 7.0]), "anda", "-tops").to_dict("records")
    assert (row["samples"], row["wins"], row["ties"]) == (3, 1, 1)
    assert (row["ratio_least"], row["ratio_most"]) == (pytest.approx(6 / 7), 2.0)


def test_signed_values_are_compared_by_differences():
    frame = table([-1.0, 0.5, 2.0], [1.0, -0.5, 3.0])
    (row,) = win_frame(frame, "anda", "tops").to_dict("records")
    assert (row["wins"], row["ties"], row["difference_median"]) == (2, 0, 1.0)
    assert np.isnan(row["ratio_median"])
    assert driver_frame(frame, "anda", "figna", "tops")["constant"].tolist() == ["dram_power"]


def test_losses_within_their_error_tie(rng: np.random.Generator):
    frame = losses(rng, [1.0, 1.001, 3.0]).assign(arch=["anda", "figna", "ifpu"], cycles=1.0)
    wins = win_frame(frame, "anda", "loss_percent").set_index("arch")
    assert (wins.loc["figna", "wins"], wins.loc["figna", "ties"]) == (0, 1)
    assert (wins.loc["ifpu", "wins"], wins.loc["ifpu", "ties"]) == (1, 0)

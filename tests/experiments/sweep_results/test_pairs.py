"""Losses compared in pairs of designs, on the same blocks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep_results.pairs import pair_frame
from anda_codesign.formats import InputError


def sweep(losses: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows of several number formats; time is not measured on blocks."""
    rows = [
        {
            "arch": "anda",
            "precision": name,
            "rounding": rounding,
            "cycles": 1.0,
            "loss_blocks_percent": str([float(value) for value in own]),
            "evaluation_tokens": 512,
        }
        for name, own in losses.items()
        for rounding in ("truncate", "nearest")
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def frame() -> pd.DataFrame:
    """Blocks vary by 3 %, and all formats with them; the second format is 0.5 % worse than the first, the third equal."""
    rng = np.random.default_rng(0)
    text = rng.normal(0, 3, 16)
    noise = rng.normal(0, 0.1, (3, 16))
    noise -= noise.mean(axis=1, keepdims=True)
    return sweep({"7,7,7,7": text + noise[0], "6,6,6,6": text + 0.5 + noise[1], "8,8,8,8": text + 0.01 + noise[2]})


def test_pairs_on_the_same_blocks_tell_what_single_losses_cannot(frame: pd.DataFrame):
    pairs = pair_frame(frame).set_index(["design", "other"])
    assert len(pairs) == 3
    worse = pairs.loc[("7,7,7,7", "6,6,6,6")]
    assert (worse["verdict"], worse["blocks"], worse["tokens"]) == ("better", 16, 512)
    assert worse["difference_percent"] == pytest.approx(-0.5)
    assert pairs.loc[("7,7,7,7", "8,8,8,8"), "verdict"] == "no difference"
    assert pairs.loc[("6,6,6,6", "8,8,8,8"), "verdict"] == "worse"


def test_the_interval_is_students_and_all_pairs_share_the_error(frame: pd.DataFrame):
    losses = np.array([np.array(eval(text)) for text in frame["loss_blocks_percent"].unique()[:2]])
    error = (losses[0] - losses[1]).std(ddof=1) / 4
    alone = pair_frame(frame[frame["precision"] < "8"]).iloc[0]
    assert alone["interval_percent"] == pytest.approx(2.1314 * error, rel=1e-4)
    assert alone["joint_percent"] == alone["interval_percent"]
    shared = pair_frame(frame).iloc[0]
    assert shared["joint_percent"] == pytest.approx(2.6937 * error, rel=1e-3)  # 95 % of three: 98.33 % each
    assert len(pair_frame(frame, "6,6,6,6")) == 2


def test_equal_designs_hardly_ever_differ():
    rng = np.random.default_rng(1)
    wrong = sum(
        (pair_frame(sweep({str(i): rng.normal(0, 1, 8) for i in range(4)}))["verdict"] != "no difference").any()
        for _ in range(100)
    )
    assert wrong <= 12  # 5 expected; more than 12 has a probability of 0.1 %


@pytest.mark.parametrize(
    ("change", "reference", "message"),
    [
        (lambda f: f.drop(columns="loss_blocks_percent"), "all", "pairs: there is no column loss_blocks_percent"),
        (lambda f: f[f["precision"] == "6,6,6,6"], "all", "pairs: 1 design"),
        (lambda f: f, "5,5,5,5", "pairs: '5,5,5,5' is not a design of this sweep; use all, or one of 7,7,7,7; "),
        (lambda f: f.drop(columns="cycles"), "all", "sql: leaves out cycles"),
    ],
)
def test_what_cannot_be_compared(frame: pd.DataFrame, change: Callable, reference: str, message: str):
    with pytest.raises(InputError) as error:
        pair_frame(change(frame), reference)
    assert str(error.value).startswith(message)


def test_the_command(anda: Callable, refused: Callable, frame: pd.DataFrame, tmp_path: Path):
    from anda_codesign.experiments.sweep.store import RESULTS

    frame.to_parquet(tmp_path / RESULTS)
    assert refused("results", tmp_path, "--pairs", "all", "--wins", "anda:cycles").startswith(
        "pairs: cannot be combined"
    )

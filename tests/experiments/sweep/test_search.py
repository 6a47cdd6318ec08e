"""Multi-objective search: reproducible, resumable, within its budget, and better than chance."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep_results.results import pareto_front
from anda_codesign.formats import InputError

WIDTHS = {"from": 4, "to": 9}
FIELDS: dict[str, Any] = {
    "models": "OPT-125M",
    "archs": "anda",
    "modules": dict.fromkeys(("qkv", "o", "u", "d"), WIDTHS),
    "tokens": 16,
    "architecture": {"array.rows": [4, 8, 16]},
}


def spec(
    points: int = 24, seed: int = 1, minimise: tuple[str, ...] = ("seconds", "area_mm2"), **more: Any
) -> SweepSpec:
    sampling = {"method": "search", "points": points, "seed": seed, "minimise": minimise}
    return SweepSpec(**{**FIELDS, "sampling": sampling, **more})


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


def test_a_search_is_within_its_budget_and_reproducible(tmp_path: Path):
    one = run_sweep(spec(), tmp_path / "one")
    assert len(one) == 24
    assert one["key"].is_unique
    pd.testing.assert_frame_equal(one, run_sweep(spec(), tmp_path / "again", 2))
    other = run_sweep(spec(seed=2), tmp_path / "other")
    assert set(other["key"]) != set(one["key"])


def test_a_search_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = run_sweep(spec(), tmp_path / "out")
    parts = sorted((tmp_path / "out").glob("part-*.parquet"))
    for part in parts[::2]:
        part.unlink()
    capsys.readouterr()
    pd.testing.assert_frame_equal(run_sweep(spec(), tmp_path / "out"), whole)
    simulated = sum(int(line.split()[2]) for line in capsys.readouterr().err.splitlines())
    assert simulated == len(parts[::2])


def test_a_search_finds_more_than_chance(tmp_path: Path):
    """The widths that cost most bit operations at the least loss of width: later generations dominate the first."""
    derived = {"narrow": "mantissa_bits_qkv + mantissa_bits_d", "wide": "-(mantissa_bits_u + mantissa_bits_o)"}
    frame = run_sweep(spec(48, 3, ("narrow", "wide"), derived=derived, architecture={}), tmp_path / "out")
    score = (frame["narrow"] + frame["wide"]).to_numpy()
    assert np.median(score[-16:]) < np.median(score[:12])
    front = frame[pareto_front(frame, ["narrow", "wide"])]
    assert front["narrow"].min() <= 9


def test_constraints_bound_a_search(tmp_path: Path):
    constraints = ("mantissa_bits_qkv > mantissa_bits_o", "area_mm2 < 2.2")
    frame = run_sweep(spec(constraints=constraints), tmp_path / "out")
    assert (frame["mantissa_bits_qkv"] > frame["mantissa_bits_o"]).all()
    assert (frame["area_mm2"] < 2.2).all()
    message = refusal(lambda: run_sweep(spec(constraints=("tokens > 16",)), tmp_path / "none"))
    assert message.startswith("constraints: no point meets them all")


def test_a_small_space_is_exhausted(tmp_path: Path):
    small = SweepSpec(
        models=("OPT-125M",), archs=("anda",), mantissa_bits=(4, 5, 6), tokens=(16,),
        sampling={"method": "search", "points": 10, "minimise": ["cycles"]},  # type: ignore[arg-type]
    )  # fmt: skip
    frame = run_sweep(small, tmp_path / "out")
    assert sorted(frame["precision"]) == ["4,4,4,4", "5,5,5,5", "6,6,6,6"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"points": None}, "sampling.points: is missing"),
    ({"minimise": ()}, "sampling.minimise: is empty"),
    ({"for_each": ("archs",)}, "sampling.for_each: has no meaning in a search"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_a_search_refuses(change: dict[str, Any], message: str, tmp_path: Path):
    sampling = {"method": "search", "points": 8, "minimise": ("seconds",)} | change
    assert refusal(lambda: run_sweep(SweepSpec(**FIELDS, sampling=sampling), tmp_path / "out")).startswith(message)


def test_an_objective_that_is_no_column(tmp_path: Path):
    message = refusal(lambda: run_sweep(spec(minimise=("beauty",)), tmp_path / "out"))
    assert message.startswith("sampling.minimise: 'beauty'")
    assert not list((tmp_path / "out").glob("part-*")), "nothing was simulated"
    message = refusal(lambda: run_sweep(spec(minimise=("arch",)), tmp_path / "text"))
    assert message.startswith("sampling.minimise: 'arch'")


def test_objectives_of_a_grid(tmp_path: Path):
    grid = SweepSpec(**FIELDS, sampling={"minimise": ("seconds",)})  # type: ignore[arg-type]
    message = "sampling.minimise: a grid sample minimises nothing"
    assert refusal(lambda: run_sweep(grid, tmp_path / "out")).startswith(message)


def test_without_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    message = "sampling.method: search needs Optuna"
    assert refusal(lambda: run_sweep(spec(), tmp_path / "out")).startswith(message)


def test_widths_of_modules(tmp_path: Path):
    modules = {"qkv": [7, 8], "o": 5, "u": 6, "d": 6}
    frame = run_sweep(SweepSpec(**{**FIELDS, "architecture": {}, "modules": modules}), tmp_path / "out")
    assert frame["precision"].tolist() == ["7,5,6,6", "8,5,6,6"]
    message = "modules: give widths of qkv, o, u and d, and neither precisions nor mantissa_bits"
    for fields in ({"modules": {"qkv": 7}}, {"modules": modules, "mantissa_bits": 5}):
        assert refusal(lambda f=fields: SweepSpec(**{**FIELDS, **f}).points()).startswith(message)

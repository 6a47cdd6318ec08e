"""Questions to finished sweeps: SQL, fronts, and the command `anda results`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep_results.results import load_results, pareto_figure, pareto_front, query_frame
from anda_codesign.experiments.sweep_results.tables import fitting_rows
from anda_codesign.formats import InputError
from hypothesis import given
from hypothesis import strategies as st

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "out"
    spec = SweepSpec(models=("OPT-125M",), archs=("fp-fp", "anda"), mantissa_bits=(4, 6, 8), tokens=(16, 64))
    run_sweep(spec, out)
    return out


def test_sql(folder: Path):
    answer = query_frame(
        load_results(folder), "select arch, count(*) n, min(cycles) c from results group by arch order by arch"
    )
    frame = load_results(folder)
    assert answer["arch"].tolist() == ["anda", "fp-fp"]
    assert answer["n"].tolist() == [6, 2]
    assert answer["c"].tolist() == [frame.loc[frame["arch"] == arch, "cycles"].min() for arch in ("anda", "fp-fp")]


@pytest.mark.parametrize(
    "sql", ["select watts from results", "selec 1", "select * from read_csv('/etc/hosts')", "copy results to 'x.csv'"]
)
def test_queries_that_are_refused(refused: Callable[..., str], folder: Path, sql: str):
    before = sorted(path.name for path in folder.iterdir())
    message = refused("results", folder, "--sql", sql)
    assert message.startswith("sql: ")
    assert "; the table is results, its columns key, model, arch, precision, " in message
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_empty_query(refused: Callable[..., str], folder: Path):
    assert refused("results", folder, "--sql", "").startswith("sql: the query has no answer")


def slow_front(costs: np.ndarray) -> list[bool]:
    """The definition: no row is at least as good everywhere and better somewhere."""
    return [
        not np.isnan(row).any()
        and not any((other <= row).all() and (other < row).any() for other in costs if not np.isnan(other).any())
        for row in costs
    ]


@given(st.lists(st.tuples(*[st.integers(0, 5) | st.just(float("nan"))] * 3), min_size=1, max_size=25))
def test_the_front_is_what_the_definition_says(rows: list[tuple[float, ...]]):
    costs = np.array(rows, dtype=float)
    frame = pd.DataFrame(costs, columns=["a", "b", "c"], index=range(5, 5 + len(costs)))
    front = pareto_front(frame, ["a", "b", "c"])
    assert front.tolist() == slow_front(costs)
    assert front.index.tolist() == frame.index.tolist()
    turned = pareto_front(frame.assign(b=-frame["b"]), ["a", "-b", "c"])
    assert turned.tolist() == front.tolist()


def test_points_of_different_tasks_are_not_compared(folder: Path):
    frame = load_results(folder)
    front = frame[pareto_front(frame, ["cycles", "energy_total_pj"])]
    assert front["tokens"].tolist() == [16, 64]
    assert set(front["precision"]) == {"4,4,4,4"}
    one = frame[frame["tokens"] == 64]
    assert pareto_front(one, ["cycles", "energy_total_pj"]).sum() == 1


@pytest.mark.parametrize("column", ["watts", "arch"])
def test_columns_without_numbers(folder: Path, column: str):
    with pytest.raises(InputError) as error:
        pareto_front(load_results(folder), ["cycles", column])
    assert str(error.value).startswith(f"pareto: {column!r}")


def test_the_figure_tells_the_front_from_the_dominated(folder: Path):
    frame = load_results(folder)
    front = pareto_front(frame, ["cycles", "-macs"])
    (axes,) = pareto_figure(frame, "cycles", "macs", ["cycles", "-macs"]).axes
    dominated, *others = axes.get_lines()
    assert sorted(dominated.get_xdata()) == sorted(frame.loc[~front, "cycles"])
    shown = [x for line in others for x in line.get_xdata()]
    assert sorted(shown) == sorted(frame.loc[front, "cycles"])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("cycles", "macs")


def test_the_command(anda: Run, folder: Path, tmp_path: Path):
    answer = anda("results", folder, "--json", "-")
    frame = load_results(folder)
    assert [row["key"] for row in json.loads(answer.out)] == frame["key"].tolist()
    table = anda("results", folder).out
    assert f"{folder}: 8 rows\n" in table
    assert all(str(cycles) in table for cycles in frame["cycles"])

    answer = anda("results", folder, "--sql", "select arch, cycles from results where tokens = 16", "--json", "-")
    expected = frame[frame["tokens"] == 16][["arch", "cycles"]].to_dict("records")
    assert json.loads(answer.out) == expected

    plot = tmp_path / "front.svg"
    answer = anda("results", folder, "--pareto", "cycles,area_mm2", "--plot", plot, "--json", "-")
    front = frame[pareto_front(frame, ["cycles", "area_mm2"])]
    assert {row["key"] for row in json.loads(answer.out)} == set(front["key"])
    assert answer.err == f"anda: note: wrote {plot}\n"
    assert plot.read_text().startswith("<?xml")


def test_a_table_is_as_wide_as_a_terminal(folder: Path):
    frame = load_results(folder)
    names = [name for name in frame.columns if name != "key"]
    few, _ = fitting_rows(frame, ["arch", "precision", "cycles", "dram_bytes"])
    assert few == ["arch", "precision", "cycles", "dram_bytes"]
    columns, rows = fitting_rows(frame, names[:16])
    assert {"bops_saving", "sram_bytes", "dram_bytes"}.isdisjoint(columns)
    assert [row[0] for row in rows] == frame["model"].tolist()


def test_figures_that_cannot_be_drawn(refused: Callable[..., str], folder: Path, tmp_path: Path):
    message = "plot: needs two columns or more"
    assert refused("results", folder, "--plot", tmp_path / "x.png").startswith(message)
    assert refused("results", folder, "--pareto", "cycles", "--plot", tmp_path / "x.png").startswith(message)
    text = tmp_path / "x.txt"
    message = f"plot: {text}"
    assert refused("results", folder, "--pareto", "cycles,area_mm2", "--plot", text).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--report new --sql x", "sql: cannot be combined with report"),
        ("--report new --json -", "json: cannot be combined with report"),
        ("--wins anda:cycles --pareto cycles", "pareto: cannot be combined with wins"),
    ],
)
def test_options_that_exclude_each_other(refused: Callable[..., str], folder: Path, options: str, message: str):
    assert refused("results", folder, *options.split()).startswith(message)


def test_the_sweep_command(anda: Run, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("models: OPT-125M\narchs: anda\nmantissa_bits: {from: 4, to: 6}\ntokens: 16\n")
    out = tmp_path / "out"
    answer = anda("sweep", file, "--out", out)
    assert (answer.status, answer.err) == (
        0,
        "anda: simulating 3 of 3 points\n"
        f"anda: note: results: {out / 'results.parquet'}; anda results {out} --report DIR shows them all\n",
    )
    assert "mine.yaml: 3 points, the ten of least energy\n" in answer.out
    assert [f" {m},{m},{m},{m} " in answer.out for m in (4, 5, 6)] == [True] * 3


def test_the_schema_and_the_questions(anda: Run):
    assert json.loads(anda("sweep", "--schema").out)["title"] == "SweepSpec"
    table = anda("sweep", "--questions").out
    assert " uncertainty " in table
    assert "Does Anda still win" in table

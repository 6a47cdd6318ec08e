"""The paper's figures beside ours: what is compared, what is never taken over, and what a user can give."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from anda_codesign.experiments.precision_search.precision_study import PrecisionStudy, StudyStep
from anda_codesign.experiments.precision_search.search import SearchStep
from anda_codesign.experiments.precision_search.search_space import Choice
from anda_codesign.experiments.reproduce import run
from anda_codesign.experiments.reproduce.drawing import DRAWINGS, height, save_comparison_figure
from anda_codesign.experiments.reproduce.figures import accuracy as accuracy_figures
from anda_codesign.experiments.reproduce.figures import machine as machine_figures
from anda_codesign.experiments.reproduce.figures import registry
from anda_codesign.experiments.reproduce.figures.comparison import Comparison, FigureResult
from anda_codesign.experiments.reproduce.figures.options import FigureOptions
from anda_codesign.experiments.reproduce.figures.published import PrecisionSets, published
from anda_codesign.experiments.reproduce.figures.registry import figure_names
from anda_codesign.experiments.reproduce.output import MARK
from anda_codesign.experiments.reproduce.reproduction import Reproduction
from anda_codesign.experiments.reproduce.run import compare_figure, compare_figures
from anda_codesign.experiments.reproduce.scoreboard import comparison_row, scoreboard
from anda_codesign.experiments.study import measure as study_measure
from anda_codesign.experiments.synthesis import elements as synthesis_elements
from anda_codesign.experiments.synthesis.elements import ElementRow
from anda_codesign.formats import InputError
from anda_codesign.rtl.synthesis import results
from anda_codesign.sim import load_technology
from anda_codesign.workloads import PairedLoss, Precision, Verdict, bops_saving, model_shape
from anda_codesign.workloads.files import locked

MACHINE = ("fig2", "fig15", "fig16", "fig17", "fig18", "table1", "table3")
ROOT = Path(__file__).parents[3]
KEYS = ["figure", "quantity", "published", "ours", "deviation", "kind"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that every test computes what it looks at."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANDA_CACHE", str(folder))
    return folder


def found(result: FigureResult) -> dict[str, Comparison]:
    return {comparison.quantity: comparison for comparison in result.comparisons}


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


def study_frame(name: str, models: tuple[str, ...]) -> pd.DataFrame:
    """Made-up losses in the shape of a study's."""
    rows: list[dict[str, Any]] = []
    for model in models:
        for index, bits in enumerate((4, 6, 8)):
            row = {
                "model": model,
                "mantissa_bits": bits,
                "loss_percent": 30.0 / 10**index,
                "standard_error_percent": 0.1,
            }
            rows += [
                row | {"group_size": 32 + 32 * index, "module": ("qkv", "o", "d")[index], "method": f"method {index}"}
            ]
    return pd.DataFrame(rows)


def made_up_search(model: str, tolerance: str, blocks: int, _backend: str) -> PrecisionStudy:
    loss = PairedLoss(0.004, 0.001, 20.0, 19.9, 4088)
    steps = [
        StudyStep(
            SearchStep(Choice(Precision.uniform(bits)), 4.0 * bits, 0.004, bits > 6),
            Verdict("undecided", loss, 0.01, blocks),
            2.0,
        )
        for bits in (5, 6, 7)
    ]
    return PrecisionStudy(model, 0.01, steps, None)


@pytest.fixture
def accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy figures without a model."""
    monkeypatch.setattr(
        study_measure, "study", lambda name, model, **_: SimpleNamespace(frame=study_frame(name, model))
    )
    monkeypatch.setattr(accuracy_figures, "search", made_up_search)


def test_published_speedups_and_ours():
    speedup = found(compare_figure("fig16"))["speedup by time (WikiText2), Anda 1%"]
    assert speedup.published == 2.49
    assert speedup.kind == "derived"
    assert speedup.ours == pytest.approx(2.445, abs=0.001)
    assert speedup.deviation == pytest.approx(2.445 / 2.49 - 1, abs=0.001)


def test_every_bar_of_fig_16_is_within_3_percent_by_the_mean_of_modules():
    bars = [c for q, c in found(compare_figure("fig16")).items() if "mean of modules (WikiText2)" in q]
    assert len(bars) == 2 * 7
    for bar in bars:
        assert bar.deviation is not None
        assert abs(bar.deviation) < 0.03, bar.quantity


def test_llama_13b_at_a_tolerance_is_the_same_in_both_figures():
    fig17, fig18 = found(compare_figure("fig17")), found(compare_figure("fig18"))
    assert fig17["energy efficiency, Anda 0.1%"].ours == fig18["energy efficiency, tolerance 0.1%"].ours
    assert fig18["speedup by time, tolerance 5%"].kind == "unavailable"
    assert fig18["speedup by time, tolerance 5%"].ours is None


def test_the_split_adds_up():
    fig17 = found(compare_figure("fig17"))
    total = sum(fig17[f"{part} (%), FP-FP"].ours for part in ("compute", "SRAM", "DRAM"))  # type: ignore[misc]
    assert total == pytest.approx(100)


@pytest.mark.parametrize("name", ["fig15", "fig16", "fig17", "fig18", "table3"])
def test_ours_does_not_move_with_the_published_bars(name: str, monkeypatch: pytest.MonkeyPatch):
    """Only precision tuples are taken from the paper here; technology constants are data of the simulator."""
    ours = {quantity: c.ours for quantity, c in found(compare_figure(name)).items()}
    other = copy.deepcopy(published())
    tuples = {key: value for key, value in other["wikitext2"].items() if key.startswith("combination")}
    doubled = _scaled(other) | {"wikitext2": _scaled(other["wikitext2"]) | tuples}
    monkeypatch.setattr(machine_figures, "published", lambda: doubled)
    again = found(compare_figure(name, fresh=True))
    assert {quantity: c.ours for quantity, c in again.items()} == ours
    assert any(c.published != found(compare_figure(name))[q].published or c.published for q, c in again.items())


def _scaled(data: Any) -> Any:
    """Every number doubled."""
    if isinstance(data, dict):
        return {key: _scaled(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_scaled(value) for value in data]
    return 2 * data if isinstance(data, int | float) else data


def test_table_3_from_synthesis():
    table3 = found(compare_figure("table3"))
    scaling = synthesis_elements.scaling_to_16nm("asap7")
    array = load_technology("asap7").array
    area = table3["area (mm²), synthesised (asap7 to 16 nm), MXU 16x16 APU"]
    assert (area.kind, area.published) == ("derived", 0.41)
    assert area.ours == pytest.approx(array.area.value * scaling.area)
    power = table3["power (mW), synthesised (asap7 to 16 nm), MXU 16x16 APU"]
    assert power.published == 54.34
    assert power.ours == pytest.approx(array.power.value * scaling.energy)
    assert table3["power (mW), both buffers"].published == pytest.approx(16.94 + 7.96)
    assert not [q for q in table3 if "osu018" in q], "no published factors for its node"
    assert {c.label for c in table3.values() if c.kind == "unavailable"} == {"others"}


def test_fig_15_from_synthesis(monkeypatch: pytest.MonkeyPatch):
    rows = [
        ElementRow("lib", "FP-FP", 1.0, 1.0, 1.0, 1.0, {"area_efficiency": 1.0, "energy_efficiency": 1.0}),
        ElementRow("lib", "Anda-M4", 0.8, 0.5, 4.0, 8.0, {"area_efficiency": 13.89, "energy_efficiency": 16.07}),
    ]
    monkeypatch.setattr(results, "library_names", lambda: ["lib"])
    monkeypatch.setattr(synthesis_elements, "element_rows", lambda _: rows)
    fig15 = found(compare_figure("fig15"))
    area = fig15["area efficiency, synthesised (lib), Anda-M4"]
    assert (area.kind, area.published, area.ours) == ("measured", 13.89, 4.0)
    assert fig15["energy efficiency, synthesised (lib), Anda-M4"].ours == 8.0
    assert "area efficiency, synthesised (lib), FP-FP" not in fig15


@pytest.mark.usefixtures("accuracy")
def test_all_18_savings_of_table_2():
    table = found(compare_figure("table2"))
    savings = [c for q, c in table.items() if q.startswith("BOPs saving at")]
    assert len(savings) == 18
    assert all(abs(float(c.ours or 0) - float(c.published or 0)) < 0.011 for c in savings)
    assert table["WikiText2 perplexity, Anda 1%, OPT-30B"].ours is None


@pytest.mark.usefixtures("accuracy")
def test_the_search_visits_what_fig_9_prints():
    visits = [c for c in compare_figure("fig9").comparisons if c.panel == "OPT-125M"]
    assert len(visits) == 10
    assert [c.ours for c in visits] == [c.published for c in visits]
    ours = [c for c in compare_figure("fig9").comparisons if c.kind == "measured"]
    assert [c.ours for c in ours] == ["5555", "6666", "7777*"]


@pytest.mark.usefixtures("accuracy")
@pytest.mark.parametrize("name", figure_names())
def test_every_figure_is_consistent_and_drawn(name: str, tmp_path: Path):
    result = compare_figure(name)
    assert result.name == name
    assert result.seconds > 0
    assert result.notes
    quantities = [c.quantity for c in result.comparisons]
    assert len(set(quantities)) == len(quantities)
    for comparison in result.comparisons:
        assert comparison.figure == name
        assert list(comparison.record()) == KEYS
        assert (comparison.ours is None) == (comparison.kind == "unavailable")
    paths = save_comparison_figure(result, tmp_path)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.svg", f"{name}.pdf"]
    assert all(path.stat().st_size > 5000 for path in paths)
    assert result.drawing in DRAWINGS


@pytest.mark.usefixtures("accuracy")
def test_data_sets_of_the_user(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        'PTB: {"1%": {opt-1.3b: "7,5,5,5", LLaMA-7B: [7, 6, 6, 5]}}\nWikiText2: {"5%": {LLaMA-13B: "6,5,5,4"}}\n'
    )
    options = FigureOptions(PrecisionSets.load(file))
    saving = found(compare_figure("table2", options))["BOPs saving at 1% (PTB), OPT-1.3B"]
    assert saving.published is None
    assert saving.ours == bops_saving(model_shape("OPT-1.3B"), Precision(7, 5, 5, 5))
    fig16 = found(compare_figure("fig16", options))
    assert fig16["speedup by time (PTB), Anda 1%"].published is None
    assert 2 < float(fig16["speedup by time (PTB), Anda 1%"].ours or 0) < 3
    assert (
        fig16["speedup by time (WikiText2), Anda 1%"]
        == found(compare_figure("fig16"))["speedup by time (WikiText2), Anda 1%"]
    )
    fig18 = found(compare_figure("fig18", options))["speedup by time, tolerance 5%"]
    assert fig18.kind == "derived"
    assert fig18.published == 2.74


BAD_FILES = {
    "[1, 2]": "holds no keys",
    "PTB: 3": "PTB: holds no keys",
    'PTB: {"1%": {OPT-1.3B: "7,5"}}': "PTB.1%.OPT-1.3B: precision: '7,5' ",
}


def test_a_bad_file_of_precisions(tmp_path: Path):
    file = tmp_path / "bad.yaml"
    for text, expected in BAD_FILES.items():
        file.write_text(text)
        assert refusal(lambda: PrecisionSets.load(file)).startswith(f"precisions bad.yaml: {expected}")


def test_an_unknown_model_in_a_file_of_precisions(tmp_path: Path):
    file = tmp_path / "bad.yaml"
    file.write_text('PTB: {"1%": {GPT-5: "7,5,5,5"}}')
    assert refusal(lambda: PrecisionSets.load(file)).startswith(
        "precisions bad.yaml: PTB.1%.GPT-5: model: 'GPT-5' is unknown"
    )


def test_a_kept_figure_is_not_computed_again(monkeypatch: pytest.MonkeyPatch, cache: Path):
    first = compare_figure("table1")
    fail = replace(registry.FIGURES["table1"], compute=lambda _: pytest.fail("computed again"))
    real = registry.FIGURES["table1"]
    monkeypatch.setitem(registry.FIGURES, "table1", fail)
    assert compare_figure("table1") == first
    monkeypatch.setitem(registry.FIGURES, "table1", real)
    (kept,) = (cache / "reproduce").iterdir()
    kept.write_text("{")
    again = compare_figure("table1")
    assert again.comparisons == first.comparisons
    monkeypatch.setattr(run, "program_version", lambda: "another")
    compare_figure("table1")
    assert len(list((cache / "reproduce").iterdir())) == 2


@pytest.mark.usefixtures("accuracy")
def test_all_goes_on_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch):
    computed: list[str] = []
    for name, figure in list(registry.FIGURES.items()):

        def compute(options: FigureOptions, name: str = name, figure: Any = figure) -> FigureResult:
            computed.append(name)
            if name == "fig16" and computed.count("fig16") == 1:
                raise KeyboardInterrupt
            return figure.compute(options)

        monkeypatch.setitem(registry.FIGURES, name, replace(figure, compute=compute))
    with pytest.raises(KeyboardInterrupt):
        compare_figures()
    results = compare_figures()
    assert [result.name for result in results] == figure_names()
    assert computed == [
        *figure_names()[: figure_names().index("fig16") + 1],
        *figure_names()[figure_names().index("fig16") :],
    ]
    frame = Reproduction(results).to_frame()
    assert list(frame.columns) == KEYS
    page = scoreboard(results)
    assert all(f"## {name}: " in page for name in figure_names())
    assert "Not reproduced: speedup by time (1 published values)." in page


def test_deviations():
    def compared(theirs: Any, ours: Any) -> float | None:
        return Comparison("fig2", "a", "b", theirs, ours, "measured").deviation

    assert compared(2.0, 1.0) == -0.5
    assert compared("7,5,6,6", "7,5,6,6") == 0
    assert compared("7,5,6,6", "7,6,6,6") is None
    assert compared(None, 1.0) is None
    assert compared("over 90", 92.0) is None
    with pytest.raises(AssertionError):
        Comparison("fig2", "a", "b", 1.0, 1.0, "unavailable")


def test_heights_of_precisions():
    assert height("7,5,6,6") == height("7566*") == 6
    assert height("over 90") is None
    assert height(3) == 3


def test_the_command(anda: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "out"
    answer = anda("reproduce", "fig18", "--out", out, "--json", "-")
    assert answer.status == 0
    records = json.loads(answer.out)
    assert [list(record) for record in records] == [KEYS] * 9
    assert re.search(r"fig18: 9 values, computed in \d+\.\d s", answer.err)
    assert sorted(path.name for path in (out / "figures").iterdir()) == ["fig18.pdf", "fig18.png", "fig18.svg"]
    table = anda("reproduce", "fig18", "--out", out).out
    assert "1.73" in table
    assert "-2.6 %" in table
    assert re.search(r"fig18: LLaMA-13B by tolerance \(\d+\.\d s\)", table)


@pytest.mark.usefixtures("accuracy")
def test_the_command_for_all(anda: Callable[..., Any], tmp_path: Path):
    answer = anda("reproduce", "all", "--out", tmp_path / "out", "--json", tmp_path / "all.json")
    assert answer.status == 0
    assert f"scoreboard: {tmp_path / 'out' / 'scoreboard.md'}" in answer.err
    page = (tmp_path / "out" / "scoreboard.md").read_text()
    for name in figure_names():
        assert f"(figures/{name}.png)" in page
    assert {record["figure"] for record in json.loads((tmp_path / "all.json").read_text())} == set(figure_names())


def test_the_command_without_a_model(anda: Callable[..., Any], tmp_path: Path):
    answer = anda(
        "reproduce", "machine", "--out", tmp_path / "out", "--scoreboard", tmp_path / "page.md", "--json", "-"
    )
    assert {record["figure"] for record in json.loads(answer.out)} == set(MACHINE)
    page = (tmp_path / "page.md").read_text()
    assert "Not on this page: fig14, fig5, fig6, fig7, fig9, table2, which evaluate a model" in page
    assert "figures/" not in page


def test_what_the_command_refuses(refused: Callable[..., str], tmp_path: Path):
    assert refused("reproduce", "fig3", "--out", tmp_path / "out").startswith("figure: 'fig3'")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").touch()
    message = refused("reproduce", "fig15", "--out", tmp_path / "thesis")
    assert message.startswith(f"out: {tmp_path / 'thesis'} holds other files")
    with locked(tmp_path / "thesis"):
        (tmp_path / "thesis" / MARK).touch()
        message = refused("reproduce", "fig15", "--out", tmp_path / "thesis")
    assert message.startswith(f"out: another run is at work in {tmp_path / 'thesis'}")
    message = refused("reproduce", "fig15", "--out", tmp_path / "out", "--blocks", 1)
    assert message.startswith("blocks: 1 ")
    message = refused("reproduce", "fig15", "--out", tmp_path / "out", "--backend", "cuda")
    assert message.startswith("backend: 'cuda' ")
    page = tmp_path / "page.md"
    message = refused("reproduce", "fig15", "--out", tmp_path / "out", "--scoreboard", page)
    assert message.startswith("scoreboard: works with the figures all and machine only")
    page.write_text("precious")
    for taken in (page, tmp_path):
        message = refused("reproduce", "machine", "--out", tmp_path / "out", "--scoreboard", taken)
        assert message.startswith(f"scoreboard: {taken} is not a scoreboard and is not overwritten")
    assert page.read_text() == "precious"
    message = refused("reproduce", "machine", "--out", tmp_path / "out", "--scoreboard", tmp_path / "no" / "page.md")
    assert message.startswith(f"scoreboard: there is no folder {tmp_path / 'no'}")
    assert not (tmp_path / "out").exists()
    message = refused("reproduce", "fig15", "--out", tmp_path / "out", "--precisions", tmp_path / "none.yaml")
    assert message.startswith("precisions none.yaml: cannot be read (No such file or directory)")


@pytest.mark.parametrize("name", MACHINE)
def test_the_page_in_the_docs_is_current(name: str):
    page = (ROOT / "docs" / "scoreboard.md").read_text()
    for comparison in compare_figure(name).comparisons:
        if comparison.kind != "unavailable" and "synthesised" not in comparison.panel:  # docs/synthesis.md has those
            assert "| " + " | ".join(comparison_row(comparison)) + " |" in page

"""docs/calibration.md says what the model gives today."""

import json
from functools import cache
from pathlib import Path

import pytest
from anda_codesign.sim.calibration import PUBLISHED, Calibration, main, updated

ROOT = Path(__file__).parents[2]


@cache
def calibration() -> Calibration:
    return Calibration(json.loads((ROOT / PUBLISHED).read_text()))


def test_tables_of_the_page_are_current():
    page = (ROOT / "docs" / "calibration.md").read_text()
    tables = calibration().tables()
    assert updated(page, tables) == page
    assert all(f"<!-- table: {name} -->" in page for name in tables)


def test_the_command_renews_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: tolerances -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.chdir(ROOT)
    main(["--update", str(page)])
    table = calibration().tolerances()
    assert page.read_text() == f"before\n<!-- table: tolerances -->\n{table}\n<!-- end -->\nafter\n"


@pytest.mark.parametrize("label", ["FP-INT", "iFPU", "FIGNA", "FIGNA-M11", "FIGNA-M8", "Anda 0.1%", "Anda 1%"])
def test_energy_efficiencies_of_fig_16_with_one_tile_per_model(label: str):
    """Within 15 %, and most within 8: with the same token tile for all modules, nothing fitted."""
    figure = calibration().published["fig16_geomean_over_9_models_wikitext2"]
    published = figure["energy_efficiency"][figure["designs"].index(label)]
    models = calibration().published["wikitext2"]["combination_1%"]
    product = 1.0
    for model in models:
        product *= calibration().ratio(model, label, "energy_efficiency", "model")
    assert product ** (1 / len(models)) == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(("label", "tokens"), [("FP-FP", 16), ("Anda 0.1%", 32), ("Anda 1%", 32)])
def test_the_token_tile_doubles_at_both_tolerances(label: str, tokens: int):
    """LLaMA-13B: Fig. 17 halves the DRAM energy at both, though the mantissas differ."""
    runs = calibration().run("LLaMA-13B", label, "model").runs
    assert {run.tiling.tokens for run in runs} == {tokens}
    assert all(run.tiling.copies == 2 for run in runs)

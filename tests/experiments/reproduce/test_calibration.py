"""docs/calibration.md shows the numbers of today's model."""

from pathlib import Path

import pytest
from anda_codesign.experiments.markdown import renew_parts
from anda_codesign.experiments.reproduce.calibration import TABLES, design_mean, main, split_bits, tolerances
from anda_codesign.experiments.reproduce.figures.measures import run_system, system_ratio
from anda_codesign.experiments.reproduce.figures.published import published

ROOT = Path(__file__).parents[3]
LABELS = ("FP-INT", "iFPU", "FIGNA", "FIGNA-M11", "FIGNA-M8", "Anda 0.1%", "Anda 1%")


def bar(label: str, quantity: str) -> float:
    figure = published()["fig16_geomean_over_9_models_wikitext2"]
    return figure[quantity][figure["designs"].index(label)]


def ratio(label: str, quantity: str, reading: str = "time", mapping: str = "model") -> float:
    return system_ratio(label, "LLaMA-13B", split_bits(label), quantity, reading, mapping)  # type: ignore[arg-type]


def test_tables_of_the_page_are_current():
    page = (ROOT / "docs" / "calibration.md").read_text()
    assert renew_parts(page, TABLES) == page
    assert all(f"<!-- table: {name} -->" in page for name in TABLES)


def test_the_command_renews_a_page(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: tolerances -->\nold\n<!-- end -->\nafter\n")
    main(["--update", str(page)])
    assert page.read_text() == f"before\n<!-- table: tolerances -->\n{tolerances()}\n<!-- end -->\nafter\n"


def test_energy_efficiencies_of_fig_16_with_one_tile_per_model():
    """Within 15 %, and most within 8: with the same token tile for all modules, nothing fitted."""
    for label in LABELS:
        ours = design_mean(label, "energy_efficiency", mapping="model")
        assert ours == pytest.approx(bar(label, "energy_efficiency"), rel=0.15), label


def test_fig_16_by_the_mean_over_the_modules():
    """Each bar within 3 %; and for designs of one mantissa length it is the ratio of times."""
    for quantity in ("speedup", "area_efficiency"):
        for label in LABELS:
            modules, time = design_mean(label, quantity, "modules"), design_mean(label, quantity, "time")
            assert modules == pytest.approx(bar(label, quantity), rel=0.03), (label, quantity)
            if label.startswith("Anda"):
                assert modules > 1.01 * time, (label, quantity)
            else:
                assert modules == pytest.approx(time, rel=1e-4), (label, quantity)


def test_the_mean_over_the_modules_by_hand():
    """LLaMA-13B at 7,5,6,6: 16 cycles over M + 1, weighted by 3, 1, 2 x 2.7 and 2.7 squares of the hidden size."""
    weights = {"qkv": 3 * 5120, "o": 5120, "u": 2 * 13824, "d": 13824}
    speedups = dict(zip(weights, (16 / 8, 16 / 6, 16 / 7, 16 / 7), strict=True))
    mean = sum(weights[m] * speedups[m] for m in weights) / sum(weights.values())
    assert ratio("Anda 1%", "speedup", "modules", "best") == pytest.approx(mean, rel=1e-4)


def test_fig_18():
    """Both points within 3 %: at 0.1 % the published tuple, at 5 % those that have the published speedup."""
    figure = published()["fig18_llama13b_over_fp_fp"]
    for reading in ("time", "modules"):
        assert ratio("Anda 0.1%", "speedup", reading) == pytest.approx(figure["0.1%"]["speedup"], rel=0.03)
    energy = ratio("Anda 0.1%", "energy_efficiency")
    assert energy == pytest.approx(figure["0.1%"]["energy_efficiency"], rel=0.03)
    rows = [line for line in tolerances().splitlines() if "5 %" in line and "32 tokens" in line]
    assert len(rows) == 2
    for row in rows:
        ours = [float(text) for text in row.split(" | ")[1].split(" to ")]
        assert ours == pytest.approx([figure["5%"]["energy_efficiency"]] * len(ours), rel=0.03)


def test_no_rounding_of_the_rows_gives_the_total_of_table_3():
    """Six rows of two digits are at most 0.03 off together; the printed total, of two digits too, another 0.005."""
    table = published()["table3_area_mm2_power_mw"]
    rows = [row[0] for name, row in table.items() if name not in ("total", "node")]
    assert len(rows) == 6
    assert sum(rows) - table["total"][0] > 6 * 0.005 + 0.005 - 1e-9


def test_the_token_tile_doubles_at_both_tolerances():
    """LLaMA-13B: Fig. 17 halves the DRAM energy at both, though the mantissas differ."""
    for label, tokens in (("FP-FP", 16), ("Anda 0.1%", 32), ("Anda 1%", 32)):
        runs = run_system(label, "LLaMA-13B", split_bits(label)).runs
        assert {run.mapping.tokens for run in runs} == {tokens}
        assert all(run.mapping.activation_copies == 2 for run in runs)

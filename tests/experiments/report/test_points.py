import pytest
from anda_codesign.experiments.report.answer import verdict
from anda_codesign.experiments.report.figures import FIGURES, save_figures
from anda_codesign.experiments.report.plan import BLOCKS, plan_points
from anda_codesign.experiments.report.points import points_frame
from anda_codesign.experiments.report.table import SCREEN_COLUMNS, TABLE_COLUMNS, table_rows
from synthetic import points

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def test_relative_columns_are_against_the_baseline():
    frame = points_frame(points()).set_index("label")
    baseline = frame.loc["fp-fp"]
    assert (baseline["speedup"], baseline["energy_saving"], baseline["area_ratio"]) == (1.0, 1.0, 1.0)
    seven = frame.loc["M = 7"]
    assert seven["speedup"] == pytest.approx(baseline["cycles"] / seven["cycles"])
    assert seven["energy_saving"] == pytest.approx(baseline["energy_pj"] / seven["energy_pj"])
    assert seven["loss_percent"] == pytest.approx(0.8)


def test_energy_parts_sum_to_the_total():
    frame = points_frame(points())
    total = frame["compute_pj"] + frame["sram_pj"] + frame["dram_pj"]
    assert total.to_numpy() == pytest.approx(frame["energy_pj"].to_numpy())


def test_one_module_points_name_their_module():
    frame = points_frame(points())
    single = frame[frame["kind"] == "one module"]
    assert set(single["module"]) == {"qkv", "o", "u", "d"}
    assert single[single["module"] == "o"]["label"].tolist() == ["o at 4", "o at 5", "o at 6"]


def test_table_rows_fit_the_columns():
    rows = table_rows(points_frame(points()))
    assert {len(row) for row in rows} == {len(TABLE_COLUMNS)}
    assert set(SCREEN_COLUMNS) < set(TABLE_COLUMNS)
    assert rows[0][:4] == ("fp-fp", "+0.00", "0.00", "8")
    assert rows[6][0] == "anda 4,4,4,4"
    assert rows[6][1] == "+750.00"


@pytest.mark.parametrize(
    ("loss", "error", "expected"),
    [(0.5, 0.1, "below"), (0.7, 0.1, "undecided"), (1.3, 0.1, "undecided"), (8.0, 0.4, "above"), (-0.4, 0.1, "below")],
)
def test_a_loss_is_decided_by_its_t_interval(loss: float, error: float, expected: str):
    row = {"loss_percent": loss, "standard_error_percent": error}
    assert verdict(row | {"blocks": 8}) == expected
    assert verdict(row | {"blocks": 7}) == "undecided"


def test_the_plan_covers_the_cliff_and_every_module():
    plan = list(plan_points())
    uniform = {point.precision[0] for point in plan if point.kind == "uniform"}
    assert uniform >= {4, 5, 6, 7, 8}
    single = {point.precision for point in plan if point.kind == "one module"}
    assert {precision.index(min(precision)) for precision in single} == {0, 1, 2, 3}
    assert all(2 <= point.blocks <= BLOCKS for point in plan), "a standard error needs two blocks"
    assert [point.blocks for point in plan_points(4 * BLOCKS)] == [4 * point.blocks for point in plan]
    assert {point.blocks for point in plan_points(2)} == {2}


def test_figures_are_written_thrice_and_twice_alike(tmp_path):
    frame = points_frame(points())
    first = save_figures(frame, tmp_path / "a")
    second = save_figures(frame, tmp_path / "b")
    assert sorted(path.name for path in first) == sorted(
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "pdf")
    )
    for path in first:
        content = path.read_bytes()
        assert content.startswith({".png": PNG_MAGIC, ".svg": b"<?xml", ".pdf": b"%PDF"}[path.suffix])
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]

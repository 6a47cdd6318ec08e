import pytest
from anda_codesign.sim import architecture_names, explain, not_modelled, simulate, simulate_model, technology_names
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape
from cases import each

WORK = gemms(model_shape("LLaMA-7B"), tokens=200)


@each("technology", technology_names())
@each("name", architecture_names())
def test_rows_add_up_to_the_result(name: str, technology: str):
    result = simulate(WORK, name, Precision(7, 5, 6, 6), technology=technology)
    rows = explain(result)

    def total(quantity: str, part: str = "") -> float:
        return sum(row.total for row in rows if row.quantity == quantity and part in ("", row.part))

    assert total("cycles") == result.cycles
    assert total("traffic") == pytest.approx(result.dram_bytes, abs=3 * sum(g.repeat for g in WORK))
    assert total("energy", "compute") == pytest.approx(result.energy_pj.compute)
    assert total("energy", "sram") == pytest.approx(result.energy_pj.sram)
    assert total("energy", "dram") == pytest.approx(result.energy_pj.dram)
    assert total("area") == pytest.approx(result.area_mm2)
    for run in result.runs:
        assert total("cycles", run.gemm.module) == run.cycles * run.gemm.repeat


def test_every_row_has_count_unit_and_source():
    for row in explain(simulate(WORK, "anda", Precision.uniform(6), "events")):
        assert row.total == row.count * row.unit
        assert row.source
        assert row.unit_unit.endswith(f"/{row.count_unit}")
        assert row.total_unit == row.unit_unit.removesuffix(f"/{row.count_unit}")


def test_what_bounds_a_tile_is_said():
    long, short = (
        explain(simulate([Gemm("o", 64, k, 64)], "anda", Precision.uniform(7)))[0].source for k in (1024, 64)
    )
    assert long == "16 groups of 8 cycles: groups x cycles per group, formats/latency/array.py"
    assert short == "1 groups of 8 cycles: the outputs of the tile before leave one column a cycle"


@pytest.mark.parametrize("vector_unit", ["fp16", "integer"])
@pytest.mark.parametrize("level", ["analytical", "events"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_rows_of_a_whole_model_add_up(phase: str, level: str, vector_unit: str):
    result = simulate_model(
        model_shape("SmolLM2-135M"),
        "anda",
        Precision(7, 5, 6, 6),
        phase=phase,
        tokens=20,
        context=30,
        batch=2,
        vector_unit=vector_unit,
        level=level,
    )  # type: ignore[arg-type]
    rows = explain(result)

    def total(quantity: str, part: str = "") -> float:
        return sum(row.total for row in rows if row.quantity == quantity and part in ("", row.part))

    assert total("cycles") == result.cycles
    for row in result.rows:
        assert total("cycles", row.name) == row.cycles
    assert total("energy") == pytest.approx(result.energy_pj.total)
    assert total("traffic") == pytest.approx(result.dram_bytes, rel=1e-4)
    assert all(row.source for row in rows)


@pytest.mark.parametrize("idle", ["measured", "full"])
@pytest.mark.parametrize("level", ["analytical", "cycle"])
def test_rows_of_a_head_with_sparse_weights_add_up(level: str, idle: str):
    """The head alone needs the side unit."""
    result = simulate_model(
        model_shape("OPT-125M"), "anda", Precision.uniform(7), phase="decode", tokens=1, context=10, head="spqr-3",
        level=level, idle=idle,
    )  # type: ignore[arg-type]  # fmt: skip
    rows = explain(result)
    assert sum(row.total for row in rows if row.quantity == "energy") == pytest.approx(result.energy_pj.total)
    assert any(row.what.startswith("sparse weights") for row in rows)
    assert "sparse weights that are spread unevenly over the output channels" in not_modelled(result)
    (waiting,) = (row for row in rows if row.part == "head" and row.what.startswith("filling"))
    assert waiting.source == ("sim/analytical/gemm.py" if level == "analytical" else "sim/events/gemm.py")

"""Area and energy of the measured circuits in place of the published ones."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep_results import circuits
from anda_codesign.experiments.sweep_results.circuits import with_circuits
from anda_codesign.experiments.sweep_results.results import load_results
from anda_codesign.formats import InputError
from anda_codesign.workloads import gemms, model_shape

AREAS = {"anda-pe-scaled": 600.0, "anda-pe": 300.0, "bpc-lane": 1000.0}
ENERGIES = {"anda-pe-scaled": 0.1, "anda-pe": 0.08, "bpc-lane": 1.0}


def made_up(library: str, design: str, bits: int, parameters: dict[str, Any]) -> Any:
    """Circuits that are as large and hungry as their parameters say, so that sums can be done by hand."""
    lanes = parameters.get("lanes", 64)
    more = 1.5 if parameters.get("midpoint") or parameters.get("nearest") else 1.0
    area, energy = more * AREAS[design] * lanes / 64, more * ENERGIES[design] * bits
    return SimpleNamespace(area_um2=area, energy_pj_per_operation=energy)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "out"
    spec = SweepSpec(
        models=("OPT-125M",), archs=("anda",), precisions=("7,5,6,6",), tokens=(16,), technologies=("asap7",),
        architecture={"processing_element.lanes": (32, 64), "array.columns": (16, 32)},
        constraints=("array_columns * processing_element_lanes == 1024",),
    )  # fmt: skip
    run_sweep(spec, out)
    return out


@pytest.fixture
def rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The change of area (um2) and energy (pJ) of a row with these options."""
    monkeypatch.setattr(circuits, "_find", made_up)
    frame = load_results(folder)

    def change(lanes: int, **options: str) -> tuple[float, float]:
        own = frame[frame["processing_element_lanes"] == lanes].assign(**options)
        row = with_circuits(own, "asap7").iloc[0]
        area = 1e6 * (row[circuits.AREA] - row["area_mm2"])
        return area, row[circuits.ENERGY] - row["energy_total_pj"]

    return change


def work() -> dict[str, tuple[int, int, int]]:
    bits = {"qkv": 7, "o": 5, "u": 6, "d": 6}
    found = gemms(model_shape("OPT-125M"), tokens=16)
    return {g.module: (bits[g.module], g.total_macs, g.tokens * g.in_channels * g.repeat) for g in found}


def test_the_published_design_takes_what_it_took(rows: Callable[..., Any]):
    assert rows(64) == (pytest.approx(0, abs=1e-6), 0)


def test_midpoints_take_a_larger_dot_product(rows: Callable[..., Any]):
    area, energy = rows(64, reconstruct="midpoint")
    assert area == pytest.approx(256 * 0.5 * 300)
    assert energy == pytest.approx(sum(0.5 * 0.08 * bits * macs for bits, macs, _ in work().values()), rel=1e-6)


def test_rounding_takes_larger_compressor_lanes(rows: Callable[..., Any]):
    area, energy = rows(64, rounding="nearest")
    assert area == pytest.approx(16 * 0.5 * 1000)
    assert energy == pytest.approx(sum(0.5 * bits * values for bits, _, values in work().values()), rel=1e-4)


def test_shorter_groups_take_more_of_what_stands_behind_them(rows: Callable[..., Any]):
    area, energy = rows(32)
    assert area == pytest.approx(512 * (300 / 2 + 300) - 256 * 600)
    assert energy == pytest.approx(sum(0.02 * bits * macs for bits, macs, _ in work().values()), rel=1e-6)


def test_other_machines_are_refused(folder: Path):
    frame = load_results(folder)
    for column, value in (("arch", "figna"), ("technology", "paper-16nm")):
        message = f"circuits: results are of {column} {value}"
        with pytest.raises(InputError) as error:
            with_circuits(frame.assign(**{column: value}), "asap7")
        assert str(error.value).startswith(message)


def test_the_command(
    anda: Callable[..., Any], refused: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(circuits, "_find", made_up)
    sql = "select area_circuits_mm2 mm2 from results where processing_element_lanes = 64"
    answer = anda("results", folder, "--circuits", "asap7", "--sql", sql, "--json", "-")
    frame = load_results(folder)
    published = frame[frame["processing_element_lanes"] == 64].iloc[0]
    assert json.loads(answer.out)[0]["mm2"] == pytest.approx(published["area_mm2"])
    monkeypatch.undo()
    assert refused("results", folder, "--circuits", "tsmc").startswith("circuits: results are of technology asap7")

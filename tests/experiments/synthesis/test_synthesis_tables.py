"""Results of synthesis that come with the package, the tables made of them, and the technology files."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from anda_codesign.experiments.markdown import renew_parts
from anda_codesign.experiments.synthesis import elements as synthesis_elements
from anda_codesign.experiments.synthesis import tables as synthesis_tables
from anda_codesign.experiments.synthesis.figure import clocks_figure
from anda_codesign.formats import InputError
from anda_codesign.rtl.synthesis.results import (
    find_result,
    library_names,
    load_clock_targets,
    load_results,
    provenance,
)
from anda_codesign.sim import architecture_names, load_technology, simulate
from anda_codesign.workloads import Gemm, Precision

from scripts import load_script

ROOT = Path(__file__).parents[3]


def test_there_are_results_for_three_libraries() -> None:
    assert library_names() == ["asap7", "osu018", "sky130"]
    for library in library_names():
        entry = provenance()["libraries"][library]
        assert len(entry["sha256"]) == 64 and entry["origin"] and entry["voltage_v"] > 0
    assert provenance()["operands"]["groups"] == 192


@pytest.mark.parametrize("library", ["asap7", "osu018", "sky130"])
def test_rows_are_consistent(library: str) -> None:
    for result in load_results(library):
        total = result.dynamic_pj_per_cycle + result.leakage_mw * result.period_ps * 1e-3
        assert result.energy_pj_per_cycle == pytest.approx(total, rel=1e-4)
        per_operation = result.energy_pj_per_cycle * result.cycles / result.operations
        assert result.energy_pj_per_operation == pytest.approx(per_operation, rel=1e-4)
        assert result.clock_met == (result.critical_ps <= 3508)
        assert 0 <= result.flip_flop_area_um2 < result.area_um2


def test_what_is_not_there() -> None:
    with pytest.raises(InputError, match=r"library: 'tsmc' .* asap7, osu018, sky130"):
        load_results("tsmc")
    with pytest.raises(InputError, match=r"results: asap7 has no M=99 of anda-pe \{\}"):
        find_result("asap7", "anda-pe", "M=99")


def test_the_page_shows_these_results() -> None:
    page = (ROOT / "docs" / "synthesis.md").read_text("utf-8")
    assert renew_parts(page, synthesis_tables.TABLES) == page
    marked = re.findall(r"<!-- table: (\S+) -->", page)
    assert page.count("<!-- end -->") == len(marked) >= 7
    assert set(marked) <= set(synthesis_tables.TABLES)


@pytest.mark.parametrize("library", ["asap7", "osu018", "sky130"])
def test_elements_are_over_fp_fp(library: str) -> None:
    rows = {row.element: row for row in synthesis_tables.element_rows(library)}
    assert (rows["FP-FP"].area, rows["FP-FP"].power, rows["FP-FP"].area_efficiency) == (1, 1, 1)
    assert rows["Anda-M4"].area == rows["Anda-M13"].area < 1
    assert rows["Anda-M4"].area_efficiency == pytest.approx(rows["Anda-M13"].area_efficiency * 14 / 5)
    efficiencies = [rows[f"Anda-M{m}"].energy_efficiency for m in range(4, 14)]
    assert efficiencies == sorted(efficiencies, reverse=True)


@pytest.mark.parametrize("library", ["asap7", "osu018", "sky130"])
def test_technology_files_are_those_of_the_script(library: str) -> None:
    files = load_script("technology_files")
    path = ROOT / "sim" / "technology" / f"{library}.yaml"
    assert yaml.safe_load(path.read_text("utf-8")) == files.technology(library, files.NODES[library])


def test_skipping_at_16_nm_is_that_of_asap7() -> None:
    ours, asap7 = load_technology("paper-16nm").skipping, load_technology("asap7").skipping
    assert ours is not None and asap7 is not None
    for field in ("area", "power", "plane"):
        assert getattr(ours, field).value == getattr(asap7, field).value


@pytest.mark.parametrize("library", ["asap7", "osu018", "sky130"])
def test_a_skipped_plane_saves_less_than_a_cycle(library: str) -> None:
    """A zero plane moves little: what skipping saves is its own energy, not that of a mean cycle."""
    ratios = synthesis_tables.skipping_ratios(library)
    assert 0.05 < ratios.plane < 0.4 and 0.98 < ratios.power < 1.05 and 1 < ratios.area < 1.1


@pytest.mark.parametrize("library", ["asap7", "osu018", "sky130"])
def test_every_architecture_is_reported_in_every_technology(library: str) -> None:
    for architecture in architecture_names():
        result = simulate([Gemm("u", 64, 1024, 512)], architecture, Precision.uniform(7), technology=library)
        assert result.energy_pj.compute > 0 and result.area_mm2 > 0, architecture


def test_the_array_is_256_elements() -> None:
    element = find_result("asap7", *("anda-pe-scaled", "M=6"), **synthesis_tables.ANDA[1])
    assert load_technology("asap7").array.area.value == pytest.approx(256e-6 * element.area_um2, rel=1e-3)


def test_clock_targets_are_fronts() -> None:
    """A shorter period costs area; in two libraries or more."""
    swept = [library for library in library_names() if load_clock_targets(library)]
    assert len(swept) >= 2
    for library in swept:
        for name, results in synthesis_elements.clock_points(library).items():
            assert results, (library, name)
            for fast, slow in pairwise(results):
                assert fast.critical_ps < slow.critical_ps and fast.area_um2 > slow.area_um2


def test_the_figure_of_clock_targets() -> None:
    figure = clocks_figure()
    assert len(figure.axes) >= 4 and len(figure.axes[0].lines) == len(synthesis_elements.CLOCK_ELEMENTS)
    assert (ROOT / "docs" / "figures" / "synthesis_clocks.png").stat().st_size > 10_000

"""A sweep's report: its folder, and its page in a real browser, offline."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep_results.report import energy_figure, write_sweep_report
from anda_codesign.experiments.sweep_results.results import load_results, pareto_front
from anda_codesign.formats import InputError
from browser import chromium, with_script
from PIL import Image

FILE = """
title: Widths and <buffers>
models: OPT-125M
archs: [fp-fp, figna-m8, anda]
mantissa_bits: {from: 4, to: 8}
tokens: 32
technologies: cacti-16nm
architecture:
  weight_buffer.capacity: [256 KiB, 1 MiB]
"""
COSTS = ("seconds", "area_mm2")
CHANGE_AXES = """<script>
const [x, y] = document.querySelectorAll("select");
x.value = [...x.options].findIndex(option => option.text === "area_mm2");
y.value = [...y.options].findIndex(option => option.text === "energy_total_pj");
x.dispatchEvent(new Event("change"));
document.querySelectorAll("input")[1].click();
</script></body>"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.yaml").write_text(FILE)
    run_sweep(folder / "sweep.yaml", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def page(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep_report(sweep, tmp_path_factory.mktemp("report"), COSTS)


def test_the_folder(sweep: Path, page: Path):
    folder = page.parent
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    figures = [f"figures/{name}.{suffix}" for name in ("energy", "pareto") for suffix in ("pdf", "png", "svg")]
    assert names == sorted([*figures, "report.html", "report.md", "timeline.json"])
    assert json.loads((folder / "timeline.json").read_text())["traceEvents"]
    text = (folder / "report.md").read_text()
    frame = load_results(sweep)
    assert text.startswith("# Widths and &lt;buffers>\n")
    assert f"{len(frame)} points, {int(pareto_front(frame, COSTS).sum())} on the front of seconds, area_mm2." in text
    for row in frame.to_dict("records"):
        assert f" {row['energy_total_pj']:.6g} |" in text
    assert "## What is not modelled" in text
    assert "(timeline.json)" in text
    assert "model version (hash of the code and data behind every point): " in text


def test_the_page_needs_nothing_else(page: Path):
    text = page.read_text()
    assert "Widths and &lt;buffers&gt;" in text
    assert not re.findall(r'(?:src|href)="(?!data:|timeline\.json)', text)


@pytest.mark.tool("chromium")
def test_the_plot_in_a_browser(sweep: Path, page: Path):
    frame = load_results(sweep)
    document = chromium(page, "--dump-dom")
    front = int(pareto_front(frame, COSTS).sum())
    assert f"{front} of {len(frame)} points are on the front of these two" in document
    assert len(re.findall(r'class="front"', document)) == front
    assert len(re.findall(r'class="dominated"', document)) == len(frame) - front
    assert f"{frame['energy_total_pj'].min():.6g}" in document


@pytest.mark.tool("chromium")
def test_a_foreign_script_does_not_run(page: Path, tmp_path: Path):
    copy = tmp_path / "page.html"
    foreign = "<script>document.body.dataset.ran = 'foreign'</script><p onclick='' id=p></p></body>"
    copy.write_text(page.read_text().replace("</body>", foreign))
    assert 'data-ran="foreign"' not in chromium(copy, "--dump-dom")
    copy.write_text(with_script(page.read_text(), foreign))
    assert 'data-ran="foreign"' in chromium(copy, "--dump-dom")


@pytest.mark.tool("chromium")
def test_other_axes_in_a_browser(sweep: Path, page: Path, tmp_path: Path):
    frame = load_results(sweep)
    copy = tmp_path / "page.html"
    copy.write_text(with_script(page.read_text(), CHANGE_AXES))
    document = chromium(copy, "--dump-dom")
    front = int(pareto_front(frame, ("area_mm2", "energy_total_pj")).sum())
    assert f"{front} of {len(frame)} points are on the front of these two" in document


SORT_AND_CHOOSE = """<script>
const titles = [...document.querySelectorAll("table:has(td) th")];
titles.find(title => title.textContent === "seconds" || title.textContent === "cycles").click();
const task = document.querySelectorAll("select")[2];
task.value = "OPT-1.3B";
task.dispatchEvent(new Event("change"));
document.body.dataset.count = document.querySelector("output").textContent;
document.querySelector("path.front").focus();
document.body.dataset.point = document.querySelector("output").textContent;
</script></body>"""


@pytest.mark.tool("chromium")
def test_tasks_and_sorting_in_a_browser(tmp_path: Path):
    file = tmp_path / "sweep.yaml"
    file.write_text(FILE.replace("OPT-125M", "[OPT-125M, OPT-1.3B]"))
    frame = run_sweep(file, tmp_path / "out")
    page = write_sweep_report(tmp_path / "out", tmp_path / "report", COSTS, timeline=False)
    copy = tmp_path / "page.html"
    copy.write_text(with_script(page.read_text(), SORT_AND_CHOOSE))
    document = chromium(copy, "--dump-dom")
    one = frame[frame["model"] == "OPT-1.3B"]
    front = int(pareto_front(one, COSTS).sum())
    assert 0 < front < int(pareto_front(frame, COSTS).sum())
    assert f'data-count="{front} of {len(one)} points are on the front of these two"' in document
    point = re.search(r'data-point="([^"]*)"', document)
    assert point is not None
    assert point[1].startswith("OPT-1.3B, ")
    assert point[1].endswith(" (on the front)")
    column = re.findall(r'<th class="(?:text|number)[^>]*>([^<]*)</th>', document).index("cycles")
    rows = re.findall(r"<tr>((?:<td[^>]*>[^<]*</td>)+)</tr>", document)[: len(frame)]
    cycles = [int(re.findall(r"<td[^>]*>([^<]*)</td>", row)[column].replace(",", "")) for row in rows]
    assert cycles == sorted(frame["cycles"])


@pytest.mark.tool("chromium")
def test_the_page_is_painted_and_readable_in_grey(page: Path, tmp_path: Path):
    picture = tmp_path / "page.png"
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text())
    chromium(copy, f"--screenshot={picture}", "--window-size=1200,1600")
    with Image.open(picture) as image:
        grey = image.convert("L").crop((0, 150, 1200, 700))
    assert sum(grey.histogram()[:64]) > 1000, "markers, axes and text are dark without colour, too"


def test_a_title_cannot_break_out_of_the_page(sweep: Path, tmp_path: Path):
    manifest = json.loads((sweep / "manifest.json").read_text())
    copy = tmp_path / "sweep"
    copy.mkdir()
    (copy / "results.parquet").write_bytes((sweep / "results.parquet").read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"title": "</title><script>alert(1)</script>"}))
    text = write_sweep_report(copy, tmp_path / "out", COSTS, timeline=False).read_text()
    assert "<script>alert" not in text


@pytest.mark.parametrize("text", ["", "[1]", "3", "[" * 100_000, '{"title": 1, "title": 2}'])
def test_a_damaged_manifest(sweep: Path, tmp_path: Path, text: str):
    copy = tmp_path / "sweep"
    copy.mkdir()
    (copy / "results.parquet").write_bytes((sweep / "results.parquet").read_bytes())
    (copy / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"^results: .*manifest.json is damaged \(.*\); run the sweep again$"):
        write_sweep_report(copy, tmp_path / "out", COSTS, timeline=False)
    with pytest.raises(InputError, match=r"^out: .*(is damaged|is not empty|another sweep)"):
        run_sweep(sweep.parent / "sweep.yaml", copy)


def test_energy_parts_add_up(sweep: Path):
    frame = load_results(sweep).head(4)
    axes = energy_figure(frame).axes[0]
    heights = pd.Series([patch.get_width() for patch in axes.patches]).to_numpy().reshape(3, 4).sum(axis=0)  # type: ignore[attr-defined]
    assert heights == pytest.approx(frame["energy_total_pj"].to_numpy() * 1e-9)


def test_the_command(anda: Callable[..., Any], refused: Callable[..., str], sweep: Path, tmp_path: Path):
    out = tmp_path / "out"
    answer = anda("results", sweep, "--report", out, "--pareto", "seconds, -bops_saving")
    assert answer.status == 0
    assert f"report: {out / 'report.html'}" in answer.err
    message = f"out: {out}"
    assert refused("results", sweep, "--report", out).startswith(message)
    assert refused("results", sweep, "--report", tmp_path / "x", "--pareto", "beauty").startswith(
        "pareto: 'beauty' is not a column"
    )
    assert not (tmp_path / "x").exists()


def test_a_full_disk(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError) as error:
        write_sweep_report(sweep, tmp_path / "out", COSTS, timeline=False)
    assert str(error.value).startswith(f"out: {tmp_path / 'out'}")


def test_a_folder_without_results(tmp_path: Path):
    with pytest.raises(InputError, match=r"^results: .* holds no results.parquet"):
        write_sweep_report(tmp_path, tmp_path / "out")

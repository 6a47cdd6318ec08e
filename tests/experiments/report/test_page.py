"""The HTML page in a real browser, offline: its table is there, sorts by a click, and paints something."""

import re
from pathlib import Path

import pytest
from anda_codesign.experiments.report.document import Heading, Picture, TableBlock, to_html
from anda_codesign.experiments.report.figures import save_figures
from anda_codesign.experiments.report.pages import table_block
from anda_codesign.experiments.report.points import points_frame
from browser import chromium, with_script
from PIL import Image
from synthetic import points

SORT_BY_LOSS = "<script>document.querySelectorAll('th')[1].click()</script></body>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    frame = points_frame(points())
    save_figures(frame, tmp_path / "figures")
    blocks = [Heading("Report", 1), table_block(frame, 512), Picture("loss", "caption", "description")]
    assert isinstance(blocks[1], TableBlock)
    path = tmp_path / "report.html"
    path.write_text(to_html(blocks, tmp_path))
    return path


@pytest.mark.tool("chromium")
def test_a_click_on_a_title_sorts_the_table(page: Path):
    page.write_text(with_script(page.read_text(), SORT_BY_LOSS))
    document = chromium(page, "--dump-dom")
    losses = re.findall(r'<tr><td class="text(?: short)?">[^<]*</td><td class="number">([^<]*)</td>', document)
    numbers = [float(loss) for loss in losses if loss]
    assert len(numbers) == 29
    assert numbers == sorted(numbers)
    assert losses[len(numbers) :] == [""] * (len(losses) - len(numbers)), "rows without a loss come last"


@pytest.mark.tool("chromium")
def test_the_figure_is_painted(page: Path):
    picture = page.parent / "page.png"
    chromium(page, f"--screenshot={picture}", "--window-size=1200,2400")
    with Image.open(picture) as image:
        grey = image.convert("L")
        assert grey.size == (1200, 2400)
        dark = sum(grey.histogram()[:64])
    assert dark > 5000, "text and lines"

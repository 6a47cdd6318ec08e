"""The page of options is the one that the options classes give."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_options_is_current() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "options_page.py"))["page"]()
    assert (ROOT / "docs" / "options.md").read_text("utf-8") == page, "run python scripts/options_page.py"

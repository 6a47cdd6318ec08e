"""Output blocks of the documentation, and the program that writes them."""

import io
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from anda_codesign.experiments.cli import main

import anda_codesign
from scripts import load_script

NUMBERS = load_script("docs_numbers")
NEEDS_MORE = ("--trace", "trace", "study", "rtl", "report", "search", "sweep", "quantize")
"""Words of commands that need a model, a file of the page or a minute: `make docs-numbers` runs them."""


def _blocks() -> list[tuple[str, str, int | None, str]]:
    return [
        (page.name, match["command"], match["lines"] and int(match["lines"]), match[0])
        for page in NUMBERS.pages()
        for match in NUMBERS.OUTPUT.finditer(page.read_text("utf-8"))
        if not set(NEEDS_MORE) & set(shlex.split(match["command"]))
    ]


@pytest.mark.parametrize(("page", "command", "lines", "shown"), _blocks(), ids=lambda value: str(value)[:60])
def test_output_of_a_page_is_what_the_command_prints(
    page: str, command: str, lines: int | None, shown: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(NUMBERS.COLUMNS))
    monkeypatch.setenv("NO_COLOR", "1")
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        assert main(shlex.split(command)[1:]) == 0
    fresh = NUMBERS.block(command, out.getvalue(), lines)
    assert _words(shown) == _words(fresh), f"{page} is stale: run `make docs-numbers`"


def _words(block: str) -> list[str]:
    """Words of a block: versions of rich count the columns of a superscript differently."""
    return block.replace("─", "").split()


def test_commands_of_a_page_run_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folders: set[Path] = set()

    def printed(command: str, folder: Path) -> str:
        folders.add(folder)
        return f"{command}  \nsecond\nthird\n"

    monkeypatch.setattr(NUMBERS, "run", printed)
    page = "a\n<!-- output: anda x -->\nold\n<!-- end -->\nb\n<!-- output 2: anda y -->\n<!-- end -->\n"
    first = "<!-- output: anda x -->\n```console\n$ anda x\nanda x\nsecond\nthird\n```\n<!-- end -->"
    second = "<!-- output 2: anda y -->\n```console\n$ anda y\nanda y\nsecond\n…\n```\n<!-- end -->"
    assert NUMBERS.renewed(page) == f"a\n{first}\nb\n{second}\n"
    assert len(folders) == 1


def test_a_command_that_fails_stops_the_program(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"anda simulate --model nothing-such: status 2: .*model"):
        NUMBERS.run("anda simulate --model nothing-such", tmp_path)


def test_every_page_is_in_the_navigation():
    root = Path(__file__).parents[1]
    navigation = (root / "mkdocs.yml").read_text("utf-8")
    missing = [
        str(page.relative_to(root / "docs"))
        for page in (root / "docs").rglob("*.md")
        if f"- {page.relative_to(root / 'docs')}\n" not in navigation
    ]
    assert not missing


def test_every_public_name_is_on_the_page_of_the_api():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "api.md").read_text("utf-8")
    assert [name for name in anda_codesign.__all__ if f"::: anda_codesign.{name}\n" not in page] == []

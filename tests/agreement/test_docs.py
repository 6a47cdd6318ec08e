"""Names in the docs pages exist: commands with their options, files, links, Python names."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from anda_codesign.experiments.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "formats|workloads|rtl|sim|experiments|tests|scripts|docs|examples"

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def commands(text: str) -> Iterator[str]:
    """Arguments of `anda` in code blocks (with continuation lines) and between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|((?:^ {4}.*\n)+)", text.replace("\\\n", " "), re.MULTILINE | re.DOTALL)
    for block in map("".join, blocks):
        prompt = r"\$ " if re.search(r"^ *\$ ", block, re.MULTILINE) else ""  # without a prompt the line is output
        yield from re.findall(rf"^ *{prompt}anda ([a-z].*)$", block, re.MULTILINE)
    yield from re.findall(r"`anda ([a-z][^`]*)`", text)


def unknown(line: str) -> Iterator[str]:
    """Words of a command line that the command does not know."""
    group = command = typer.main.get_command(app)
    for word in line.split():
        if not isinstance(command, typer.core.TyperGroup) or not re.fullmatch(r"[a-z][a-z|-]*", word):
            break
        group = command
        for name in word.split("|"):
            if name not in group.commands:
                yield name
                return
            command = group.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    yield from (option for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", line) if option not in known)


@page
def test_commands_and_options_exist(page: Path):
    wrong = [f"{word} in: anda {line}" for line in commands(page.read_text("utf-8")) for word in unknown(line)]
    assert wrong == []


def test_the_check_of_commands_fails_where_it_should():
    assert list(unknown("simulat --model x")) == ["simulat"]
    assert list(unknown("rtl run|fly")) == ["fly"]
    assert list(unknown("rtl run --m 7 --wings 2")) == ["--wings"]
    assert list(unknown("simulate --model x --m 7")) == []
    assert list(commands("text `anda rtl lint` and\n    $ anda sweep \\\n  --out x\n")) == [
        "sweep    --out x",
        "rtl lint",
    ]


@page
def test_links_lead_somewhere(page: Path):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub makes from the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_files_exist(page: Path):
    named = re.findall(
        rf"`((?:{FOLDERS})/[\w./-]+)`|(?:python|pytest) ((?:{FOLDERS})/[\w./-]+)", page.read_text("utf-8")
    )
    assert [name for name in map("".join, named) if not (ROOT / name).exists()] == []


@page
def test_examples_print_what_they_say(page: Path, capsys: pytest.CaptureFixture[str]):
    """The examples of the tutorial and of the accelerator have their own tests."""
    examples = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for example in examples if page.name != "tutorial.md" else []:
        if "compile_gemms" in example:
            continue
        exec(compile(example, page, "exec"), {})
        printed = capsys.readouterr().out.splitlines()
        said = re.findall(r"^print\(.*\)(?:  # (.*))?$", example, re.MULTILINE)
        assert len(printed) == len(said) > 0
        assert [comment.startswith(line) for line, comment in zip(printed, said, strict=True)] == [True] * len(said)


@page
def test_python_names_exist(page: Path):
    for name in set(re.findall(r"`(anda_codesign(?:\.\w+)+)", page.read_text("utf-8"))):
        assert exists(name), name


def exists(name: str) -> bool:
    """True if a dotted name is a module or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return bool(module) and hasattr(importlib.import_module(module), attribute)
    return True

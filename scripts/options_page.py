"""Tables of docs/options.md: every option of the public functions, with flag, unit, default and help text.

``python scripts/options_page.py`` writes the page anew.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anda_codesign.experiments.markdown import markdown_table
from anda_codesign.experiments.options.option import REQUIRED, Described, described

import anda_codesign

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
INTRODUCTION = """\
# Options

This page lists the options of every public function of `anda_codesign`, with unit, default and the name on the command line. They are defined once,
in `experiments/options/` (defaults of a machine's settings in `sim/settings.py`); functions, commands and this page are derived from there. `python scripts/options_page.py` writes this page.

A function takes its options as keywords: `anda_codesign.simulate(model="LLaMA-7B", precision=7)`. The commands of `anda` have the same options,
and some of their own for files and output (`anda COMMAND --help`).
"""


def questions() -> dict[str, tuple[Callable[..., Any], tuple[Described, ...]]]:
    """Public functions and the fields of their options classes, by name."""
    found: dict[str, tuple[Callable[..., Any], tuple[Described, ...]]] = {}
    for name in anda_codesign.__all__:
        answer = getattr(getattr(anda_codesign, name), "__wrapped__", None)
        if answer is not None:
            (annotation,) = [kind for key, kind in answer.__annotations__.items() if key != "return"]
            options = answer.__globals__[annotation] if isinstance(annotation, str) else annotation
            found[name] = getattr(anda_codesign, name), described(options)
    return found


def page() -> str:
    """The page as Markdown."""
    return "\n".join([INTRODUCTION, *_sections()]).rstrip() + "\n"


def _sections() -> Iterator[str]:
    columns = ("option", "command line", "type", "unit", "default", "meaning")
    for name, (function, fields) in questions().items():
        rows = [
            (
                f"`{field.name}`",
                f"`{field.flag}`" if field.option.on_command_line and not field.option.argument else "",
                f"`{field.type_text}`",
                field.option.unit or "",
                "required" if field.default is REQUIRED else f"`{field.default!r}`",
                field.option.help,
            )
            for field in fields
        ]
        yield f"## {name}\n\n{inspect.getdoc(function).splitlines()[0]}\n\n{markdown_table(columns, rows, len(columns))}\n"  # type: ignore[union-attr]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

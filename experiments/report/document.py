"""Report documents: a list of blocks, rendered as Markdown or as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...sim.output.palette import COLORS
from ..markdown import markdown_table


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is the title of the report."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """An unordered list."""

    items: Sequence[str]


@dataclass(frozen=True)
class TableBlock:
    """A table with cells of text; the first `text_columns` columns are left-aligned, the others right-aligned."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    text_columns: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure, saved as ``figures/NAME.png`` and ``figures/NAME.svg``; `description` is its text for screen readers."""

    name: str
    caption: str
    description: str


@dataclass(frozen=True)
class ScatterPoint:
    """A point of a plot: its label, its series, and one value for each column."""

    label: str
    series: str
    values: Sequence[float | None]
    task: str = ""
    """Work of the point; points of different tasks are not compared."""


@dataclass(frozen=True)
class Scatter:
    """An interactive Pareto plot in HTML, and the picture `fallback` in Markdown."""

    columns: Sequence[str]
    larger_is_better: Sequence[bool]
    points: Sequence[ScatterPoint]
    axes: tuple[int, int]
    """Columns of the first view: horizontal and vertical."""
    fallback: Picture
    """Picture for Markdown; HTML uses its caption and description."""
    picture: bool = True
    """Show the picture in Markdown."""


@dataclass(frozen=True)
class Link:
    """A link to a file in the folder of the report."""

    text: str
    file: str


SHORT = 24
"""Largest number of characters of a cell that stays on one line."""

Block: TypeAlias = Heading | Paragraph | Bullets | TableBlock | Picture | Scatter | Link


def to_markdown(blocks: Sequence[Block]) -> str:
    """Render as GitHub-flavoured Markdown; links to pictures are relative to the report folder."""
    texts = (_markdown(block) for block in blocks)
    return "\n\n".join(text for text in texts if text) + "\n"


def to_html(blocks: Sequence[Block], folder: Path) -> str:
    """Render as one HTML page without external resources; SVG pictures from `folder` are embedded."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    script = ""
    if any(isinstance(block, Scatter) for block in blocks):
        script = f"\n<script>\n{Path(__file__).with_name('scatter.js').read_text('utf-8')}</script>"
    page = template.replace("{{policy}}", _policy(template + script)).replace("{{title}}", html.escape(title))
    return page.replace("{{body}}", "\n".join(_html(block, folder) for block in blocks) + script)


def _policy(page: str) -> str:
    """Content security policy: the page's own scripts and styles by their hashes, embedded pictures, nothing else."""

    def hashes(tag: str) -> str:
        texts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; img-src data:; script-src {hashes('script')}; style-src {hashes('style')}; "
        "base-uri 'none'; form-action 'none'"
    )


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no tag, link or picture of its own, in one line."""
    return re.sub(r"([\[\]])", r"\\\1", " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;"))


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Bullets(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case TableBlock(columns, rows, caption, text_columns):
            cells = [[_plain(cell) for cell in row] for row in rows]
            return f"{markdown_table([_plain(name) for name in columns], cells, text_columns)}\n\n*{_plain(caption)}*"
        case Picture(name, caption, description):
            return f"![{_plain(description)}](figures/{name}.png)\n\n*{_plain(caption)}*"
        case Scatter(fallback=fallback, picture=picture):
            return _markdown(fallback) if picture else ""
        case Link(text, file):
            return f"[{_plain(text)}]({file})"


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case TableBlock():
            return _html_table(block)
        case Picture(name, caption, description):
            image = base64.b64encode((folder / "figures" / f"{name}.svg").read_bytes()).decode()
            return (
                f'<figure><img alt="{html.escape(description)}" src="data:image/svg+xml;base64,{image}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
        case Scatter():
            return _html_scatter(block)
        case Link(text, file):
            return f'<p><a href="{html.escape(file)}">{html.escape(text)}</a></p>'


def _html_scatter(scatter: Scatter) -> str:
    data = {
        "columns": list(scatter.columns),
        "signs": [-1 if larger else 1 for larger in scatter.larger_is_better],
        "axes": list(scatter.axes),
        "colors": COLORS,
        "points": [
            {"label": p.label, "series": p.series, "values": list(p.values), "task": p.task} for p in scatter.points
        ],
    }
    encoded = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<figure class="scatter"><div class="controls">'
        "<label>horizontal <select></select></label> <label><input type=checkbox> logarithmic</label> "
        "<label>vertical <select></select></label> <label><input type=checkbox> logarithmic</label> "
        "<label>task <select></select></label></div>"
        f'<svg viewBox="0 0 900 420" role="img" aria-label="{html.escape(scatter.fallback.description)}"></svg>'
        f"<output></output><figcaption>{html.escape(scatter.fallback.caption)}</figcaption>"
        f'<script type="application/json">{encoded}</script></figure>'
    )


def _html_table(table: TableBlock) -> str:
    def row(cells: Sequence[str], tag: str, escape: Callable[[str], str] = html.escape) -> str:
        aligned = (f'<{tag} class="{kind(i, cell)}">{escape(cell)}</{tag}>' for i, cell in enumerate(cells))
        return "<tr>" + "".join(aligned) + "</tr>"

    def kind(column: int, cell: str) -> str:
        if column >= table.text_columns:
            return "number"
        return "text" if len(cell) > SHORT else "text short"

    body = "\n".join(row(cells, "td") for cells in table.rows)
    return (
        f'<div class="scroll"><table><caption>{html.escape(table.caption)}</caption>\n'
        f"<thead>{row(table.columns, 'th')}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )

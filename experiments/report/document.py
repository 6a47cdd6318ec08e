"""A report as a list of blocks, rendered once as Markdown and once as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Heading:
    """A section title; level 1 is the report's own."""

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
class Table:
    """Cells are text already; the first `text_columns` columns are left-aligned, the others right-aligned."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    text_columns: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure saved as ``figures/NAME.png`` and ``figures/NAME.svg``; `description` is its text for screen readers."""

    name: str
    caption: str
    description: str


Block: TypeAlias = Heading | Paragraph | Bullets | Table | Picture


def to_markdown(blocks: Sequence[Block]) -> str:
    """Render as GitHub-flavoured Markdown; pictures are linked relative to the report folder."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block], folder: Path) -> str:
    """Render as one HTML page without external resources; pictures are read from `folder` and inlined as SVG."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    body = "\n".join(_html(block, folder) for block in blocks)
    return template.replace("{{title}}", html.escape(title)).replace("{{body}}", body)


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table(columns, rows, caption, text_columns):
            rule = ["---" if i < text_columns else "---:" for i in range(len(columns))]
            lines = [columns, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
            return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n*{caption}*"
        case Picture(name, caption, description):
            return f"![{description}](figures/{name}.png)\n\n*{caption}*"


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Table():
            return _html_table(block)
        case Picture(name, caption, description):
            image = base64.b64encode((folder / "figures" / f"{name}.svg").read_bytes()).decode()
            return (
                f'<figure><img alt="{html.escape(description)}" src="data:image/svg+xml;base64,{image}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )


def _html_table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str, escape: Callable[[str], str] = html.escape) -> str:
        aligned = (
            f'<{tag} class="{"text" if i < table.text_columns else "number"}">{escape(cell)}</{tag}>'
            for i, cell in enumerate(cells)
        )
        return "<tr>" + "".join(aligned) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in table.rows)
    return (
        f'<div class="scroll"><table><caption>{html.escape(table.caption)}</caption>\n'
        f"<thead>{row(table.columns, 'th')}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )

import base64
import hashlib
import re
from pathlib import Path

from anda_codesign.experiments.report.document import (
    Bullets,
    Heading,
    Paragraph,
    Picture,
    TableBlock,
    to_html,
    to_markdown,
)

BLOCKS = [
    Heading("Title <1>", 1),
    Paragraph("a & b"),
    Bullets(["one", "two"]),
    TableBlock(("name", "n"), [("a|b", "1"), ("c", "2")], "caption"),
    Picture("dot", "a dot", "description"),
]


def test_markdown_escapes_bars_and_links_figures():
    text = to_markdown(BLOCKS)
    assert text.startswith("# Title &lt;1>\n\na &amp; b\n\n- one\n- two\n\n| name | n |\n| --- | ---: |\n| a\\|b | 1 |")
    assert "![description](figures/dot.png)" in text


HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](z)\n# title"


def test_names_are_text_in_markdown():
    blocks = [
        Heading(HOSTILE, 1),
        Paragraph(HOSTILE),
        Bullets([HOSTILE]),
        TableBlock((HOSTILE,), [(HOSTILE,)], HOSTILE),
        Picture("dot", HOSTILE, HOSTILE),
    ]
    text = to_markdown(blocks)
    assert "<" not in text
    assert not re.findall(r"(?<!\\)\]\((?!figures/dot.png)", text)
    assert text.count("\n# title") == 0


def test_the_page_runs_its_own_scripts_alone(tmp_path: Path):
    page = to_html([Heading(HOSTILE, 1), Paragraph(HOSTILE)], tmp_path)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    digests = [
        "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    assert f"script-src {' '.join(map(repr, digests))}; " in policy
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy


def test_html_is_escaped_and_self_contained(tmp_path: Path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "dot.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page = to_html(BLOCKS, tmp_path)
    assert "<title>Title &lt;1&gt;</title>" in page
    assert "<p>a &amp; b</p>" in page
    assert '<td class="text short">a|b</td><td class="number">1</td>' in page
    assert 'src="data:image/svg+xml;base64,' in page
    for outside in ('src="http', 'href="http', "url(http", "@import", "<link"):
        assert outside not in page
    assert "{{" not in page

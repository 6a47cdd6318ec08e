import bz2
import hashlib
from pathlib import Path

import pytest
from anda_codesign.workloads.text.blocks import read_text
from anda_codesign.workloads.text.wiki import clean, read_articles

PROSE = "This sentence is long enough to count as a line of prose, which headings are not."


def test_markup():
    cases = [
        ("'''bold''' and ''italic''", "bold and italic"),
        ("a [[link]] and [[Target page|another]]", "a link and another"),
        ("a [http://example.org site] here", "a site here"),
        ("with {{template|{{nested}}|x}}one", "with one"),
        ("a fact<ref name=x>{{cite}}</ref> and<ref name=x /> more", "a fact and more"),
        ("x<!-- a\n\ncomment -->y", "xy"),
        ("[[File:a.jpg|thumb|A [[linked]] caption]]shown", "shown"),
        ("[[Category:Things]]shown", "shown"),
        ("[[de:Ding]]shown", "shown"),
        ("{| class=x\n| cell\n|}after", "after"),
        ("AT&amp;T &ndash; <sub>2</sub>", "AT&T – 2"),
        ("Albedo ({{IPA|x}}) or", "Albedo or"),
        ("Lincoln ({{IPA|x}}; 1809)", "Lincoln (1809)"),
        ("two  spaces\tand a tab", "two spaces and a tab"),
    ]
    for markup, text in cases:
        assert clean(f"{PROSE} {markup}") == f"{PROSE} {text}"


def test_lines_that_are_no_prose():
    for line in ["== A heading that is long enough to count as a line of prose, it seems ==", "short"]:
        assert clean(f"{PROSE}\n{line}\n* {PROSE}\n{PROSE}") == f"{PROSE}\n{PROSE}"


def test_appendix_is_cut_off():
    for title in ["See also", "References", "External links"]:
        assert clean(f"{PROSE}\n== {title} ==\n{PROSE}") == PROSE


def test_entities_do_not_become_markup():
    assert clean(f"{PROSE} &lt;b&gt;") == f"{PROSE} <b>"


def page(text: str, namespace: int = 0, redirect: str = "") -> str:
    return f"<page><ns>{namespace}</ns>{redirect}<revision><text>{text}</text></revision></page>"


def test_articles_of_a_dump(tmp_path: Path):
    long = "\n".join([PROSE] * 20)
    pages = [
        page("First: " + long),
        page(long, namespace=4),
        page(long, redirect="<redirect title='x'/>"),
        page("Too short. " + PROSE),
        page("Second: " + long),
    ]
    path = tmp_path / "dump.xml.bz2"
    xml = f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{"".join(pages)}</mediawiki>'
    path.write_bytes(bz2.compress(xml.encode()))
    assert read_articles(path) == ["First: " + long, "Second: " + long]


@pytest.mark.model
@pytest.mark.parametrize(
    ("split", "characters", "sha256"),
    [
        ("calibration", 1439602, "bf66e9a4927e0ac9f80dcd0a6dbdecc276c27329bad8c8bd8e735c34e42a0040"),
        ("heldout", 1090687, "e29589414c26c1687776afafa9aa45e1c8077ebd5665648c84298aca74049fd8"),
    ],
)
def test_the_text_is_the_one_measured(split: str, characters: int, sha256: str):
    text = read_text("wiki", split)
    assert len(text) == characters
    assert hashlib.sha256(text.encode()).hexdigest() == sha256

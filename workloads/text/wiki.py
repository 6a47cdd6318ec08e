"""Plain text from the MediaWiki XML of the Wikipedia excerpt."""

from __future__ import annotations

import bz2
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html import unescape
from pathlib import Path

MIN_ARTICLE_CHARACTERS = 1500
MIN_LINE_CHARACTERS = 60
"""Minimum length of a line of prose; shorter lines are headings, captions and remains of markup."""

_XML = "{http://www.mediawiki.org/xml/export-0.10/}"

_APPENDIX = re.compile(r"^==+\s*(See also|References|Notes|Further reading|External links|Bibliography)\b", re.M)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_ELEMENT = re.compile(r"<(ref|math|gallery|table|timeline|code|pre|source)\b[^<>]*?(/>|>.*?</\1\s*>)", re.S | re.I)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_TABLE = re.compile(r"\{\|[^{]*?\|\}", re.S)
_MEDIA_LINK = re.compile(r"\[\[(?:File|Image|Category|[a-z-]{2,12}):(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", re.I)
_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_WEB_LINK = re.compile(r"\[(?:https?:)?//[^\s\]]+ ?([^\]]*)\]")
_EMPHASIS = re.compile(r"'{2,}")
_EMPTY_PARENTHESES = re.compile(r" ?\([\s,;]*\)")
_EMPTIED_START = re.compile(r"\([\s,;]+")
_NOT_PROSE = ("=", "*", "#", ":", ";", "|", "!", "{", "}")


def read_articles(path: Path) -> list[str]:
    """Return the text of each article with at least `MIN_ARTICLE_CHARACTERS` of prose, in the order of the dump."""
    articles = [clean(wikitext) for wikitext in _pages(path)]
    return [article for article in articles if len(article) >= MIN_ARTICLE_CHARACTERS]


def clean(wikitext: str) -> str:
    """Return the prose of an article, one line per paragraph: no templates, tables, references, media, headings, lists."""
    if appendix := _APPENDIX.search(wikitext):
        wikitext = wikitext[: appendix.start()]
    text = _ELEMENT.sub("", _COMMENT.sub("", wikitext))
    text = _innermost_first(_TABLE, _innermost_first(_TEMPLATE, text))
    text = _MEDIA_LINK.sub("", text)
    text = _WEB_LINK.sub(r"\1", _LINK.sub(r"\1", text))
    text = unescape(_EMPHASIS.sub("", _TAG.sub("", text)))
    text = _EMPTIED_START.sub("(", _EMPTY_PARENTHESES.sub("", text))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if len(line) >= MIN_LINE_CHARACTERS and not line.startswith(_NOT_PROSE))


def _innermost_first(pattern: re.Pattern[str], text: str) -> str:
    """Remove nested matches of a pattern that matches only the innermost ones."""
    removed = 1
    while removed:
        text, removed = pattern.subn("", text)
    return text


def _pages(path: Path) -> Iterator[str]:
    """Yield the wikitext of each article; skip redirects and pages outside the article namespace."""
    with bz2.open(path) as file:
        for _, element in ElementTree.iterparse(file):
            if element.tag != f"{_XML}page":
                continue
            if element.findtext(f"{_XML}ns") == "0" and element.find(f"{_XML}redirect") is None:
                yield element.findtext(f"{_XML}revision/{_XML}text") or ""
            element.clear()

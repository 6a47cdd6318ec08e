"""Plain text from the Brown corpus: 500 samples of edited American English of 1961 (Francis and Kucera, 1964)."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

_SAMPLE = re.compile(r"package/c[a-r]\d\d")
_DOUBLED = re.compile(r"([;?!]) (?=\1)")
_CLOSING = re.compile(r" (?=(?:[.,:;?!)]|'')(?: |$))")
_OPENING = re.compile(r"(\(|``) ")
_STOP_AFTER_ABBREVIATION = re.compile(r"(?<=[^.]\.)\.(?!\.)")


def read_articles(path: Path) -> list[str]:
    """Return the samples in the order of their names; each paragraph is one line."""
    with tarfile.open(path) as archive:
        names = sorted(name for name in archive.getnames() if _SAMPLE.fullmatch(name))
        files = [archive.extractfile(name) for name in names]
        return [untag(file.read().decode("utf-8")) for file in files if file is not None]


def untag(tagged: str) -> str:
    """Turn ``word/tag`` tokens into text: without tags, punctuation joined to its word, doubled punctuation single."""
    paragraphs = (paragraph.split() for paragraph in re.split(r"\n\s*\n", tagged))
    return "\n".join(_join([token.rpartition("/")[0] for token in tokens]) for tokens in paragraphs if tokens)


def _join(words: list[str]) -> str:
    text = _DOUBLED.sub("", " ".join(words))
    text = _OPENING.sub(r"\1", _CLOSING.sub("", text))
    return _STOP_AFTER_ABBREVIATION.sub("", text).replace("``", '"').replace("''", '"')

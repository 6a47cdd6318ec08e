"""Text as blocks of tokens, with calibration and held-out articles apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..fetch import data_paths
from . import brown, wiki
from .tokenizer import TextTokenizer

TEXTS = ("wiki", "brown")
"""The fetched Wikipedia excerpt, and the Brown corpus (fetched where npm is installed). A path names any text file."""

SPLITS = ("calibration", "heldout")
"""Even articles calibrate, odd ones are held out: blocks of one article are not independent of each other."""


@dataclass(frozen=True, eq=False)
class TextBlocks:
    """Independent sequences of equal length."""

    tokens: NDArray[np.int32]
    """``[blocks, tokens]``."""

    @property
    def sha256(self) -> str:
        """Of shape and token ids, so of exactly what is evaluated."""
        header = "x".join(map(str, self.tokens.shape)).encode()
        return hashlib.sha256(header + b"\n" + self.tokens.astype("<i4").tobytes()).hexdigest()


def load_blocks(
    tokenizer: TextTokenizer, text: str = "wiki", split: str = "calibration", tokens: int = 512, blocks: int = 8
) -> TextBlocks:
    """Blocks spread evenly over one split of a text, without overlap.

    Parameters
    ----------
    tokenizer
        Of the model that will read them.
    text
        One of `TEXTS`, or the path of a text file.
    split
        ``"calibration"`` or ``"heldout"``.
    tokens
        Length of a block; the perplexity depends on it, so keep it fixed in a comparison.
    blocks
        How many.

    Raises
    ------
    InputError
        An unknown text or split, a text that was not fetched, or one too short for these blocks.
    """
    return cut_blocks(tokenizer.encode(read_text(text, split)), tokens, blocks)


def read_text(text: str = "wiki", split: str = "calibration") -> str:
    """The articles of one split, separated by an empty line; of a file, the first half calibrates, the second is held out.

    Raises
    ------
    InputError
        An unknown text or split, or a text that was not fetched or is not UTF-8.
    """
    if split not in SPLITS:
        raise InputError(f"split: {split!r} is unknown; use {' or '.join(SPLITS)}")
    if text not in TEXTS:
        return _half_of_file(Path(text), split)
    articles = _articles(text)
    return "\n\n".join(articles[SPLITS.index(split) :: len(SPLITS)])


def _half_of_file(path: Path, split: str) -> str:
    """Cut at the space that is nearest to the middle from below."""
    if not path.is_file():
        raise InputError(f"text: {str(path)!r} is unknown; use {', '.join(TEXTS)} or the path of a text file")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"text: {path} is not UTF-8; convert it") from None
    middle = max(text.rfind(" ", 0, len(text) // 2 + 1), 0)
    return text[:middle] if split == SPLITS[0] else text[middle:]


def _articles(text: str) -> list[str]:
    path: Path = getattr(data_paths(), text)
    if not path.is_file():
        fix = "install npm and run `anda fetch`" if text == "brown" else "run `anda fetch`"
        raise InputError(f"text: {path} does not exist; {fix}")
    try:
        return brown.read_articles(path) if text == "brown" else wiki.read_articles(path)
    except (EOFError, OSError, SyntaxError):  # a truncated archive, or XML that breaks off
        raise InputError(f"text: {path} is damaged; remove it and run `anda fetch`") from None


def cut_blocks(ids: NDArray[np.int32], tokens: int, blocks: int) -> TextBlocks:
    """Blocks spread evenly over token ids ``[tokens]``.

    Raises
    ------
    InputError
        There are too few ids, or the blocks are too small to be predicted.
    """
    if tokens < 2:
        raise InputError(f"tokens: {tokens} is too few for a prediction; use 2 or more")
    if blocks < 1:
        raise InputError(f"blocks: {blocks} is too few; use 1 or more")
    if blocks * tokens > len(ids):
        raise InputError(
            f"blocks: the text has {len(ids)} tokens, fewer than {blocks} x {tokens}; use fewer or shorter ones"
        )
    starts = np.arange(blocks) * (len(ids) // blocks)
    return TextBlocks(ids[starts[:, None] + np.arange(tokens)])

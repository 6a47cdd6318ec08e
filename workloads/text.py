"""Text as blocks of tokens, with calibration and held-out articles apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..formats import InputError
from .fetch import data_paths, missing_data
from .tokenizer import Tokenizer
from .wiki import read_articles

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
    tokenizer: Tokenizer, text: str = "wiki", split: str = "calibration", tokens: int = 512, blocks: int = 8
) -> TextBlocks:
    """Blocks spread evenly over one split of a text, without overlap.

    Args:
        tokenizer: of the model that will read them.
        text: ``"wiki"``, the fetched Wikipedia excerpt.
        split: ``"calibration"`` or ``"heldout"``.
        tokens: length of a block; the perplexity depends on it, so keep it fixed in a comparison.
        blocks: how many.

    Raises:
        InputError: an unknown text or split, a text that was not fetched, or one too short for these blocks.
    """
    return cut_blocks(tokenizer.encode(read_text(text, split)), tokens, blocks)


def read_text(text: str = "wiki", split: str = "calibration") -> str:
    """The articles of one split, separated by an empty line.

    Raises:
        InputError: an unknown text or split, or a text that was not fetched.
    """
    if text != "wiki":
        raise InputError(f"text: {text!r} is unknown; use wiki")
    if split not in SPLITS:
        raise InputError(f"split: {split!r} is unknown; use {' or '.join(SPLITS)}")
    if reason := missing_data():
        raise InputError(f"text: {reason}")
    articles = read_articles(data_paths().wiki)
    return "\n\n".join(articles[SPLITS.index(split) :: len(SPLITS)])


def cut_blocks(ids: NDArray[np.int32], tokens: int, blocks: int) -> TextBlocks:
    """Blocks spread evenly over token ids ``[tokens]``.

    Raises:
        InputError: there are too few ids, or the blocks are too small to be predicted.
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

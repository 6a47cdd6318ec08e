"""Byte-level byte-pair encoding of GPT-2, with the vocabulary and merges of a model file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError

_GPT2_WORD = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3_WORD = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{%s}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)

PRE_TOKENIZERS: dict[str, tuple[str | None, str]] = {
    "smollm": (r"(\p{N})", _GPT2_WORD),
    "gpt-2": (None, _GPT2_WORD),
    "llama-bpe": (None, _LLAMA3_WORD % "1,3"),
    "qwen2": (None, _LLAMA3_WORD % "1"),
}
"""Separators that come first, and words, by the name of GGUF's ``tokenizer.ggml.pre``; as in llama.cpp."""
WHOLE_WORDS = ("llama-bpe",)
"""Pre-tokenizers after which a word that is a token is taken without merges (``ignore_merges``)."""


class TextTokenizer(Protocol):
    """Tokenizer of a model."""

    def encode(self, text: str) -> NDArray[np.int32]:
        """Encode `text` as token ids, without a token of beginning or end: int32 ``[tokens]``."""
        ...

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Decode token ids to text."""
        ...


class Tokenizer:
    """Text to token ids and back; special tokens are treated as plain text.

    Parameters
    ----------
    tokens
        The vocabulary, in the order of ids.
    merges
        The merges, each ``"left right"``, in the order of rank.
    pre_tokenizer
        Rule that cuts the text into words, one of `PRE_TOKENIZERS`; that of SmolLM takes every digit by itself.
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], pre_tokenizer: str = "smollm") -> None:
        self._tokens = tokens
        self._pre_tokenizer = pre_tokenizer
        self._ids = {token: number for number, token in enumerate(tokens)}
        self._ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self._words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Encode `text` as token ids: int32 ``[tokens]``.

        Raises
        ------
        InputError
            The vocabulary lacks a byte of the text.
        """
        ids: list[int] = []
        for word in _words(text, self._pre_tokenizer):
            if word not in self._words:
                self._words[word] = [self._id(part) for part in self._parts(word)]
            ids += self._words[word]
        return np.array(ids, np.int32)

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Decode token ids to text; a character that is cut apart becomes U+FFFD."""
        characters = "".join(self._tokens[number] for number in ids)
        return bytes(self._bytes[character] for character in characters).decode("utf-8", errors="replace")

    def _id(self, part: str) -> int:
        if part not in self._ids:
            raise InputError(f"text: {part!r} is not in the model's vocabulary; leave it out")
        return self._ids[part]

    def _parts(self, word: str) -> list[str]:
        if self._pre_tokenizer in WHOLE_WORDS:
            whole = "".join(byte_characters()[byte] for byte in word.encode("utf-8"))
            if whole in self._ids:
                return [whole]
        return self._merge(word)

    def _merge(self, word: str) -> list[str]:
        """Join the pair of lowest rank everywhere in the word; repeat until no pair can be joined."""
        parts = [byte_characters()[byte] for byte in word.encode("utf-8")]
        while len(parts) > 1:
            pair = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if pair not in self._ranks:
                break
            parts = _join(parts, pair)
        return parts

    @cached_property
    def _bytes(self) -> dict[str, int]:
        return {character: byte for byte, character in enumerate(byte_characters())}


def _join(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] = "".join(pair)
        else:
            joined.append(part)
    return joined


def _words(text: str, pre_tokenizer: str) -> Iterator[str]:
    import regex

    separator, word = PRE_TOKENIZERS[pre_tokenizer]
    for piece in [text] if separator is None else regex.split(separator, text):
        yield from regex.findall(word, piece)


@cache
def byte_characters() -> list[str]:
    """Return a printable character for each byte: the byte's own, or else the next free one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    characters = [chr(byte) for byte in range(256)]
    for number, byte in enumerate(byte for byte in range(256) if byte not in printable):
        characters[byte] = chr(256 + number)
    return characters

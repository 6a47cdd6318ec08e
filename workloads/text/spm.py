"""Byte-pair encoding of SentencePiece (LLaMA 1 and 2, Mistral, Gemma), with the pieces and scores of a model file."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError

SPACE = "▁"
NORMAL, USER_DEFINED, BYTE = 1, 4, 6
"""Kinds of pieces that text may become."""


class SpmTokenizer:
    """Text to token ids and back: neighbours with the highest score are joined first, unknown characters become bytes.

    Parameters
    ----------
    tokens
        Pieces, in the order of ids.
    scores
        Score of each piece.
    kinds
        Kind of each piece, as in GGUF's ``token_type``.
    add_space
        True if a space is put before the text.
    """

    def __init__(self, tokens: Sequence[str], scores: Sequence[float], kinds: Sequence[int], add_space: bool) -> None:
        self._tokens, self._kinds, self._add_space = tokens, kinds, add_space
        pieces = [(token, number) for number, token in enumerate(tokens) if kinds[number] in (NORMAL, USER_DEFINED)]
        self._ids = dict(reversed(pieces))
        self._scores = {token: scores[number] for token, number in self._ids.items()}
        self._bytes = {int(token[3:5], 16): number for number, token in enumerate(tokens) if kinds[number] == BYTE}
        # a word that no piece continues past its end can be encoded by itself
        self._by_words = not any(SPACE in token.lstrip(SPACE) for token in self._ids)
        self._words: dict[str, list[int]] = {}

    def encode(self, text: str) -> NDArray[np.int32]:
        """Encode `text` as token ids: int32 ``[tokens]``.

        Raises
        ------
        InputError
            The vocabulary lacks a byte of the text.
        """
        spaced = (" " if self._add_space and text else "") + text
        spaced = spaced.replace(" ", SPACE)
        words = re.findall(f"{SPACE}*[^{SPACE}]+|{SPACE}+", spaced) if self._by_words else [spaced]
        ids: list[int] = []
        for word in words:
            if word not in self._words:
                self._words[word] = [number for part in self._merge(word) for number in self._numbers(part)]
            ids += self._words[word]
        return np.array(ids, np.int32)

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Decode token ids to text; bytes that are no characters become U+FFFD."""
        data = bytearray()
        for number in ids:
            token = self._tokens[number]
            data += bytes([int(token[3:5], 16)]) if self._kinds[number] == BYTE else token.replace(SPACE, " ").encode()
        text = data.decode("utf-8", errors="replace")
        return text[1:] if self._add_space and text.startswith(" ") else text

    def _numbers(self, part: str) -> list[int]:
        if part in self._ids:
            return [self._ids[part]]
        try:
            return [self._bytes[byte] for byte in part.encode("utf-8")]
        except KeyError:
            raise InputError(f"text: {part!r} is not in the model's vocabulary; leave it out") from None

    def _merge(self, word: str) -> list[str]:
        """Join the pair of the highest score, the first of several, until no pair is a piece."""
        parts, following = list(word), [*range(1, len(word)), -1]
        before = list(range(-1, len(word) - 1))
        heap: list[tuple[float, int, str]] = []

        def offer(left: int) -> None:
            right = following[left]
            if right >= 0 and (score := self._scores.get(parts[left] + parts[right])) is not None:
                heapq.heappush(heap, (-score, left, parts[left] + parts[right]))

        for place in range(len(word)):
            offer(place)
        while heap:
            _, left, joined = heapq.heappop(heap)
            right = following[left]
            if not parts[left] or right < 0 or parts[left] + parts[right] != joined:
                continue  # one of the two has been joined with another
            parts[left], parts[right] = joined, ""
            following[left] = following[right]
            if following[left] >= 0:
                before[following[left]] = left
            offer(left)
            if before[left] >= 0:
                offer(before[left])
        return [part for part in parts if part]

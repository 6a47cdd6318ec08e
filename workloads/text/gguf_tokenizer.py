"""Tokenizers in GGUF files: byte-level BPE (``gpt2``) and SentencePiece (``llama``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...formats import InputError
from ...formats.documents.border import border
from ...formats.documents.schema import Document, parse
from .spm import NORMAL, SpmTokenizer
from .tokenizer import PRE_TOKENIZERS, TextTokenizer, Tokenizer


class _Fields(Document):
    """Metadata of the tokenizer."""

    kind: str | None = Field(alias="tokenizer.ggml.model", default=None)
    pre_tokenizer: str | None = Field(alias="tokenizer.ggml.pre", default=None)
    tokens: list[str] = Field(alias="tokenizer.ggml.tokens", default_factory=list)
    merges: list[str] = Field(alias="tokenizer.ggml.merges", default_factory=list)
    scores: list[float] | None = Field(alias="tokenizer.ggml.scores", default=None)
    kinds: list[int] | None = Field(alias="tokenizer.ggml.token_type", default=None)
    add_space: bool = Field(alias="tokenizer.ggml.add_space_prefix", default=True)


class UnknownTokenizer:
    """Tokenizer of a kind that is not computed; the model runs on token ids."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def encode(self, text: str) -> NDArray[np.int32]:
        """Raise `InputError`: text cannot be encoded."""
        raise InputError(self._reason)

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Raise `InputError`: ids cannot be decoded."""
        raise InputError(self._reason)


def gguf_tokenizer(path: Path, fields: Mapping[str, Any], vocabulary: int) -> TextTokenizer | None:
    """Tokenizer of a file's metadata for an embedding of `vocabulary` rows; None if it has none.

    Raises
    ------
    InputError
        The metadata contradict each other or the embedding.
    """
    with border(f"model: {path} has a damaged tokenizer", "fetch it again"):
        checked = parse(_Fields, {name: value for name, value in fields.items() if name.startswith("tokenizer.ggml.")})
    if checked.kind is None or not checked.tokens:
        return None
    count = len(checked.tokens)
    if count > vocabulary:
        raise InputError(f"model: {path} has {count} tokens, but its embedding {vocabulary} rows; fetch it again")
    if checked.kind == "gpt2" and checked.pre_tokenizer in PRE_TOKENIZERS:
        return _bpe(path, checked)
    if checked.kind == "llama" and checked.scores is not None:
        kinds = [NORMAL] * count if checked.kinds is None else checked.kinds
        if not count == len(checked.scores) == len(kinds):
            raise InputError(
                f"model: {path} has {count} tokens, {len(checked.scores)} scores, {len(kinds)} types; fetch it again"
            )
        return SpmTokenizer(checked.tokens, checked.scores, kinds, checked.add_space)
    known = ", ".join(PRE_TOKENIZERS)
    return UnknownTokenizer(
        f"tokenizer: {path} has {checked.kind!r} with pre-tokenizer {checked.pre_tokenizer!r}; use a file with 'llama', or "
        f"'gpt2' with one of {known}, or give token ids"
    )


def _bpe(path: Path, checked: _Fields) -> Tokenizer:
    known = set(checked.tokens)
    if len(known) != len(checked.tokens):
        raise InputError(f"model: {path} names a token twice; fetch it again")
    for merge in checked.merges:
        if merge.count(" ") != 1 or merge.replace(" ", "") not in known:
            raise InputError(f"model: {path}: the merge {merge!r} makes no token of the vocabulary; fetch it again")
    return Tokenizer(checked.tokens, checked.merges, checked.pre_tokenizer or "smollm")

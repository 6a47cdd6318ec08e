"""Tokenizer of a Hugging Face checkpoint folder. Needs the package tokenizers (extra ``hf``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.documents.border import reason
from ..extras import import_extra
from ..files import file_sha256

FILE = "tokenizer.json"
GPT2_FILES = ("vocab.json", "merges.txt")
"""Files of OPT's folders, which have no ``tokenizer.json``."""
LARGEST_ID = (1 << 31) - 1


class HfTokenizer:
    """Text to token ids and back by the folder's own rules, without tokens of beginning or end.

    The files are read on first use; a model that gets token ids runs without the package.

    Parameters
    ----------
    paths
        The files.
    vocabulary
        Rows of the model's embedding table; text with other tokens is refused.
    """

    def __init__(self, paths: list[Path], vocabulary: int = LARGEST_ID) -> None:
        self._paths, self._vocabulary = paths, vocabulary

    def encode_document(self, text: str) -> NDArray[np.int32]:
        """Encode a whole text, after the token of beginning if the folder's rules add one; raises the errors of `encode`."""
        alone = self._tokenizer.encode("").ids
        if len(self._paths) > 1 and (start := self._tokenizer.token_to_id("</s>")) is not None:
            alone = [start]  # OPT's files have no rule; its own tokenizer begins every text with </s>
        return np.concatenate([np.array(alone[:1], np.int32), self.encode(text)])

    def encode(self, text: str) -> NDArray[np.int32]:
        """Encode `text` as token ids: int32 ``[tokens]``.

        Raises
        ------
        InputError
            The package tokenizers is not installed, a file is damaged, or a token has no row in the embedding.
        """
        ids = np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
        if len(ids) and (largest := int(ids.max())) >= self._vocabulary:
            raise InputError(
                f"tokenizer: {self._paths[0]} gives the id {largest} ({self._tokenizer.id_to_token(largest)!r}), but the "
                f"embedding has {self._vocabulary} rows; use the tokenizer of this model"
            )
        return ids

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Decode token ids to text; raises the errors of `encode`."""
        return self._tokenizer.decode([int(number) for number in ids], skip_special_tokens=False)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal sha256 of all files together."""
        return hashlib.sha256("".join(map(file_sha256, self._paths)).encode()).hexdigest()

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizers = import_extra("tokenizers")
        try:
            tokenizer = _build(tokenizers, self._paths)
            ids = tokenizer.get_vocab().values()
            if len(set(ids)) < len(ids) or max(ids, default=0) > LARGEST_ID:
                raise ValueError("two tokens share an id, or an id is larger than 2^31 - 1")
            return tokenizer
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the package raises plain Exception, and its panics are not even that
            raise InputError(f"tokenizer: {self._paths[0]} is damaged ({reason(error)}); copy it again") from None


def read_tokenizer(folder: Path, vocabulary: int = LARGEST_ID) -> HfTokenizer | None:
    """Return the folder's tokenizer for an embedding of `vocabulary` rows; None if it has none."""
    for names in ((FILE,), GPT2_FILES):
        paths = [folder / name for name in names]
        if all(path.is_file() for path in paths):
            return HfTokenizer(paths, vocabulary)
    return None


def _build(tokenizers: Any, paths: list[Path]) -> Any:
    if len(paths) == 1:
        return tokenizers.Tokenizer.from_file(str(paths[0]))
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*map(str, paths)))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer

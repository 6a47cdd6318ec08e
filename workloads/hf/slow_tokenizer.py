"""Tokenizer of a checkpoint folder without ``tokenizer.json``, as transformers reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..extras import import_extra
from ..files import file_sha256

FILES = ("tokenizer.model", "spiece.model", "vocab.json")


class SlowTokenizer:
    """Text to token ids and back by ``AutoTokenizer``, without tokens of beginning or end."""

    def __init__(self, tokenizer: Any, file: Path, vocabulary: int) -> None:
        self._tokenizer, self._file, self._vocabulary = tokenizer, file, vocabulary

    @classmethod
    def read(cls, folder: Path, vocabulary: int) -> SlowTokenizer | None:
        """The tokenizer of a folder; None if it has no file of one.

        Raises
        ------
        InputError
            transformers cannot read it.
        """
        file = next((folder / name for name in FILES if (folder / name).is_file()), None)
        if file is None:
            return None
        try:
            tokenizer = import_extra("transformers").AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (ValueError, OSError, ImportError, KeyError) as error:
            text = str(error).splitlines()[0]
            raise InputError(f"tokenizer: transformers cannot read {file} ({text}); add tokenizer.json") from None
        return cls(tokenizer, file, vocabulary)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Encode `text` as token ids: int32 ``[tokens]``."""
        ids = np.array(self._tokenizer.encode(text, add_special_tokens=False), np.int32)
        if len(ids) and (largest := int(ids.max())) >= self._vocabulary:
            raise InputError(
                f"tokenizer: {self._file} gives the id {largest}, but the embedding has {self._vocabulary} rows; use the "
                "tokenizer of this model"
            )
        return ids

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Decode token ids to text."""
        return self._tokenizer.decode([int(number) for number in ids])

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of the file."""
        return file_sha256(self._file)

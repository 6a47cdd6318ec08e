"""Perplexity by the protocol of GPTQ, OmniQuant and the Anda paper: whole test sets in windows of 2048 tokens.

The rows of a test set are joined to one text, which is encoded at once, with the tokenizer's token of beginning if it adds
one. The text is cut into windows without overlap; a remainder is left out. Perplexity is exp of the mean negative
log-likelihood of all tokens but the first of each window.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_choice
from ..extras import import_extra
from .blocks import TextBlocks
from .tokenizer import TextTokenizer

WINDOW = 2048
"""Tokens of a window."""
C4_TEXTS, C4_WINDOWS = 1100, 256
"""Texts of C4's validation set that are joined, and the most windows of it (``get_c4_new`` in GPTQ's code)."""


@dataclass(frozen=True)
class Protocol:
    """A test set: rows of its own file, the text between them, and where the package datasets finds it."""

    rows: Callable[[Iterable[str]], list[str]]
    """Rows of the data set from the lines of its file."""
    between: str
    dataset: tuple[str, str | None]
    options: Mapping[str, Any]
    column: str
    most_windows: int | None = None


def _wikitext_rows(lines: Iterable[str]) -> list[str]:
    return [line if line.strip() else "" for line in lines]


def _ptb_rows(lines: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines]


def _c4_rows(lines: Iterable[str]) -> list[str]:
    return [json.loads(line)["text"] for _, line in zip(range(C4_TEXTS), lines, strict=False)]


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "wikitext2": Protocol(
            _wikitext_rows, "\n\n", ("Salesforce/wikitext", "wikitext-2-raw-v1"), {"split": "test"}, "text"
        ),
        "ptb": Protocol(
            _ptb_rows, " ", ("ptb-text-only/ptb_text_only", "penn_treebank"), {"split": "test"}, "sentence"
        ),
        "c4": Protocol(
            _c4_rows,
            " ",
            ("allenai/c4", None),
            {
                "data_files": {"validation": "en/c4-validation.00000-of-00008.json.gz"},
                "split": f"validation[:{C4_TEXTS}]",
            },
            "text",
            C4_WINDOWS,
        ),
    }
)


def protocol_windows(
    tokenizer: TextTokenizer, protocol: str, file: str | Path | None = None, window: int = WINDOW
) -> TextBlocks:
    """Windows of a test set.

    Parameters
    ----------
    tokenizer
        Tokenizer of the model.
    protocol
        One of `PROTOCOLS`.
    file
        The data set's own file: ``wiki.test.raw``, ``ptb.test.txt`` or ``c4-validation.00000-of-00008.json.gz``; None reads it
        through the package datasets.
    window
        Tokens of a window.

    Raises
    ------
    InputError
        The protocol is unknown, the file cannot be read, there is no network, or the text is shorter than a window.
    """
    check_choice("protocol", protocol, PROTOCOLS)
    own = PROTOCOLS[protocol]
    rows = _fetched_rows(protocol, own) if file is None else _file_rows(protocol, own, Path(file))
    encode: Callable[[str], NDArray[np.int32]] = getattr(tokenizer, "encode_document", tokenizer.encode)
    ids = encode(own.between.join(rows))
    count = len(ids) // window
    if count == 0:
        raise InputError(f"text: has {len(ids)} tokens, fewer than a window of {window}; give the whole test set")
    count = min(count, own.most_windows or count)
    return TextBlocks(ids[: count * window].reshape(count, window), len(ids))


def _file_rows(protocol: str, own: Protocol, path: Path) -> list[str]:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                return own.rows(lines)
        with path.open(encoding="utf-8") as lines:
            return own.rows(lines)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(
            f"text: {path} cannot be read as the test set of {protocol} ({reason}); give its own file"
        ) from None


def _fetched_rows(protocol: str, own: Protocol) -> list[str]:
    datasets = import_extra("datasets", extra="eval")
    try:
        return list(datasets.load_dataset(*own.dataset, **own.options)[own.column])
    except Exception as error:  # the package raises every kind
        reason = (str(error).splitlines() or [""])[0][:120]
        raise InputError(
            f"protocol: {protocol} cannot be fetched ({type(error).__name__}: {reason}); give its file as text"
        ) from None

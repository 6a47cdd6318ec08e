"""Results of the public functions: plain data for JSON, and a pandas frame."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Result(ABC):
    """An answer.

    `to_dict` is the document that the command prints with ``--json -``: plain numbers, texts, lists and dictionaries.
    `to_frame` has one row a record.
    """

    def __init_subclass__(cls) -> None:
        cls.__repr__ = Result.__repr__  # before dataclass writes one that shows every part

    def __repr__(self) -> str:
        document = self.to_dict()
        if isinstance(document, list):
            return f"<{type(self).__name__}: {len(document)} records>"
        plain = [f"{name}={value!r}" for name, value in document.items() if isinstance(value, str | int | float)]
        return f"<{type(self).__name__} {' '.join(plain)}>"

    @abstractmethod
    def to_dict(self) -> Any:
        """The document that the command prints with ``--json -``."""

    def records(self) -> list[dict[str, Any]]:
        """The rows of the frame, with nested fields: the document if it is a list, otherwise the document as one row."""
        document = self.to_dict()
        return document if isinstance(document, list) else [document]

    def to_frame(self) -> pd.DataFrame:
        """One row a record; nested fields have names such as ``energy_pj.total``."""
        import pandas as pd

        return pd.json_normalize(self.records())


@dataclass(frozen=True)
class FrameResult(Result):
    """An answer that is a frame.

    Attributes
    ----------
    frame
        One row a record.
    """

    frame: pd.DataFrame

    def to_dict(self) -> list[dict[str, Any]]:
        """The rows as plain data; None for a missing number."""
        return json.loads(self.frame.to_json(orient="records"))

    def to_frame(self) -> pd.DataFrame:
        """The frame itself."""
        return self.frame


@dataclass(frozen=True)
class Record(Result):
    """An answer that is one record.

    Attributes
    ----------
    content
        Plain numbers, texts, lists and dictionaries.
    """

    content: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The record."""
        return self.content


@dataclass(frozen=True)
class Table(Result):
    """An answer that is a list of records.

    Attributes
    ----------
    rows
        The records, with the same fields.
    """

    rows: list[dict[str, Any]]

    def to_dict(self) -> list[dict[str, Any]]:
        """The records."""
        return self.rows

"""Commands as pandas frames, for notebooks.

Most commands have a function of their own, which returns a frame or an object (docs/tutorial.md lists them). For all
that print JSON there is also `command_frame`, which takes the words of the command line.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from ..formats import InputError

if TYPE_CHECKING:
    import pandas as pd


def command_frame(*arguments: object, rows: str | None = None) -> pd.DataFrame:
    """What a command prints with ``--json -``, one row a record; nested fields have names such as ``energy_pj.total``.

    >>> command_frame("formats")["name"][0]
    'fp16'

    Args:
        arguments: the words after `anda`.
        rows: the field that holds the records, where the document is not a list: ``command_frame("search", …,
            rows="history")``. Without it, such a document is one row.

    Raises:
        InputError: the command refuses its arguments, has no JSON, or the document has no such field.
    """
    import pandas as pd

    document = _document([str(argument) for argument in arguments])
    if rows is not None:
        if not isinstance(document, dict) or not isinstance(document.get(rows), list):
            fields = ", ".join(document) if isinstance(document, dict) else "none: it is a list"
            raise InputError(f"rows: the document has no list {rows!r}; its fields are {fields}")
        document = document[rows]
    return pd.json_normalize(document)


def _document(arguments: list[str]) -> Any:
    import typer

    from .cli import app

    out = io.StringIO()
    try:
        with redirect_stdout(out):
            app([*arguments, "--json", "-"], prog_name="anda", standalone_mode=False)
    except typer.TyperException as error:
        raise InputError(f"command: {error.format_message().rstrip('.')}; see anda --help") from None
    return json.loads(out.getvalue())

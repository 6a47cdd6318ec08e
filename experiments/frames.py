"""Commands as functions that return pandas frames, for notebooks.

``simulate(model="LLaMA-7B", precision="7,5,6,6", whole=True)`` is what ``anda simulate --model LLaMA-7B --precision 7,5,6,6
--whole`` tells, one row a record. Options are keyword arguments: True for one without a value, a list for one that may be
repeated, None for one that is not given. `run_sweep` and `run_report` of their own packages return frames, too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..formats import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Command:
    """A command as a function that returns a frame.

    >>> models = Command("models")
    >>> bool((models()["macs_per_token"] > 0).all())
    True
    """

    words: str
    """What follows `anda`."""
    rows: str | None = None
    """The field of its document that holds the records; None where the document is a list or one record."""

    def __call__(self, *arguments: object, **options: object) -> pd.DataFrame:
        """Run the command.

        Raises:
            InputError: the command refuses its arguments.
        """
        return command_frame(*self.words.split(), *arguments, *_option_words(options), rows=self.rows)


models = Command("models")
archs = Command("archs")
formats = Command("formats")
compare_formats = Command("formats compare")
simulate = Command("simulate")
explain = Command("explain", "rows")
results = Command("results")
reproduce = Command("reproduce")
quantize = Command("quantize")
search = Command("search", "history")
study = Command("study")
synthesize = Command("rtl synth", "runs")
run_accelerator = Command("rtl run")
accelerator_cycles = Command("rtl cycles")
check_circuits = Command("rtl check")
trace_info = Command("trace info", "activations")
trace_planes = Command("trace planes")


def command_frame(*arguments: object, rows: str | None = None) -> pd.DataFrame:
    """What a command prints with ``--json -``, one row a record; nested fields have names such as ``energy_pj.total``.

    >>> command_frame("formats")["name"][0]
    'fp16'

    Args:
        arguments: the words after `anda`.
        rows: the field that holds the records: ``command_frame("search", …, rows="history")``. Of a list of documents, each
            row has the plain fields of its document, too. Without it, a document that is no list is one row.

    Raises:
        InputError: the command refuses its arguments, has no JSON, or the document has no such field.
    """
    import pandas as pd

    document = _document([str(argument) for argument in arguments])
    if rows is not None:
        document = list(_records(document, rows))
    return pd.json_normalize(document)


def _records(document: Any, rows: str) -> Iterator[dict[str, Any]]:
    """The records under a field of a document, or of each of several with the plain fields beside it."""
    several = isinstance(document, list)
    for part in document if several else [document]:
        if not isinstance(part, dict) or not isinstance(part.get(rows), list):
            fields = ", ".join(map(str, part)) if isinstance(part, dict) else "none: it is a list"
            raise InputError(f"rows: the document has no list {rows!r}; its fields are {fields}")
        shared = {name: value for name, value in part.items() if not isinstance(value, list | dict)} if several else {}
        yield from (shared | row for row in part[rows])


def _option_words(options: Mapping[str, object]) -> Iterator[object]:
    """``tokens=16`` as ``--tokens 16``."""
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            yield option
        elif value is not None and value is not False:
            given = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            for part in given:
                yield from (option, part)


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

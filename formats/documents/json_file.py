"""JSON documents: parsed within limits; a key that stands twice is an error."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .border import open_file, read_up_to

MOST_BYTES = 64 << 20


def read_json(path: Path) -> Any:
    """Plain data of a JSON file; `OSError`, `ValueError` or `RecursionError` if there is none."""
    with open_file(path) as file:
        return parse_json(read_up_to(file.read, MOST_BYTES))


def parse_json(data: str | bytes) -> Any:
    """Plain data of a JSON text; `ValueError` or `RecursionError` if it is none."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
    return json.loads(data if isinstance(data, str) else data.decode("utf-8"), object_pairs_hook=_unique)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return found

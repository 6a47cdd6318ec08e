"""A few hundred mutated inputs of every reader; `make fuzz` tries more."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import run
from readers import readers

CASES = 300
PACKAGES = {"tokenizer.json": pytest.mark.hf}
"""Readers that need the packages of `make test-hf`."""
NAMES = [pytest.param(reader.name, marks=PACKAGES.get(reader.name, ())) for reader in readers(Path())]


@pytest.mark.parametrize("name", NAMES)
def test_mutated_inputs_are_read_or_refused(name: str, tmp_path: Path):
    """Each is accepted and equal when read again, or refused by an `InputError` of one line."""
    (reader,) = (reader for reader in readers(tmp_path) if reader.name == name)
    folder = tmp_path / "files"
    folder.mkdir()
    counts, faults = run(reader, "1", CASES, folder)
    assert faults == []
    assert counts["accepted"] > 0 and counts["refused"] > 0 and counts.total() == CASES

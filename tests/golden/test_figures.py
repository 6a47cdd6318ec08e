"""Simulations, catalogues and explanations print the figures of the golden file. `figures.py` compares the rest, too."""

import json

from .figures import FILE, catalogues, differences, simulations


def test_commands_print_the_golden_figures() -> None:
    fresh = dict([*simulations(), *catalogues()])
    kept = json.loads(FILE.read_text("utf-8"))
    assert differences(fresh, {command: kept[command] for command in fresh}) == []

"""Simulations, catalogues and explanations print the figures of the golden file. `figures.py` compares the rest, too."""

import json

from .figures import FILE, differences, simulations


def test_simulations_print_the_golden_figures() -> None:
    fresh = dict(simulations())
    kept = json.loads(FILE.read_text("utf-8"))
    assert differences(fresh, {command: kept[command] for command in fresh}) == []

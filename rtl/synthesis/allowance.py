"""Published allowances for what synthesis leaves out, such as wires: applied on demand, named in the result."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...formats.checks import check_choice
from ...formats.documents.yaml_file import read_yaml

_DYNAMIC = ("switching_pj_per_cycle", "internal_pj_per_cycle", "clock_pj_per_cycle")


@cache
def _allowances() -> dict[str, dict[str, Any]]:
    return read_yaml(Path(__file__).with_name("allowances.yaml"), "allowances")


def with_allowances(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Document of a measurement with its dynamic energies multiplied by allowances. Leakage stays as it is.

    Parameters
    ----------
    document : mapping
        Document of `synthesize`.
    names : sequence of `str`
        Allowances of ``allowances.yaml``, such as ``wires``.

    Raises
    ------
    InputError
        An allowance does not exist.
    """
    known = _allowances()
    for name in names:
        check_choice("allowance", name, known)
    factor = 1.0
    for name in names:
        factor *= known[name]["factor"]
    left = [part for part in ("wires", "clock tree") if part not in names]
    return {
        **document,
        "runs": [_scaled(run, factor) for run in document["runs"]],
        "allowances": {name: known[name] for name in names},
        "not_included": f"{_listed(left)} {'is' if len(left) == 1 else 'are'} not in it",
    }


def _scaled(run: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Run with its dynamic energies, total energies and power scaled."""
    dynamic = sum(run[part] for part in _DYNAMIC)
    settled = run["zero_delay_dynamic_pj_per_cycle"]
    scaled = dict.fromkeys((*_DYNAMIC, "zero_delay_dynamic_pj_per_cycle"), factor)
    totals = ("energy_pj_per_cycle", "energy_pj_per_operation")
    scaled |= dict.fromkeys((*totals, "power_mw"), _growth(factor, dynamic, run[totals[0]]))
    scaled |= {f"zero_delay_{name}": _growth(factor, settled, run[f"zero_delay_{totals[0]}"]) for name in totals}
    return {name: float(f"{value * scaled[name]:.6g}") if name in scaled else value for name, value in run.items()}


def _growth(factor: float, dynamic: float, total: float) -> float:
    """Factor of a total energy of which only a part grows."""
    return (total + (factor - 1) * dynamic) / total


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

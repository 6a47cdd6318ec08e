"""Fig. 15 from synthesis of this project's own circuits, where the package has tables of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .comparison import Comparison
from .published import published

if TYPE_CHECKING:
    from ...rtl.synthesis.results import Result

BASE = "FP-FP"
ANDA = "anda-pe-scaled"
"""The processing element with the weight scale and the FP32 accumulator, as the other elements have them."""
ELEMENTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    BASE: ("fp-fp-pe", {"stages": 3}),
    "FP-INT": ("fp-int-pe", {"stages": 3}),
    "iFPU": ("ifpu-pe", {"stages": 2}),
    "FIGNA": ("figna-pe", {"mantissa_bits": 13}),
    "FIGNA-M11": ("figna-pe", {"mantissa_bits": 11}),
    "FIGNA-M8": ("figna-pe", {"mantissa_bits": 8}),
}
NOTE = (
    "Synthesised: our circuits in open libraries, from their netlists' areas and their switching on captured activations; "
    "the published ones are of a 16 nm library and of designs that are not published as code."
)


def synthesised_elements() -> Iterator[Comparison]:
    """Area and energy efficiency of each element over FP-FP's in every library; none where there are no tables."""
    figure = published()["fig15_pe_level_normalised_to_fp_fp"]
    for library, results in _libraries().items():
        runs = _labelled(results)
        if BASE not in runs:
            continue
        base = runs.pop(BASE)
        for quantity, ratio in (("area_efficiency", area_ratio), ("energy_efficiency", energy_ratio)):
            panel = f"{quantity.replace('_', ' ')}, synthesised ({library})"
            for label, run in runs.items():
                yield Comparison("fig15", panel, label, figure[quantity].get(label), ratio(base, run), "measured")


def area_ratio(base: Result, run: Result) -> float:
    """Throughput per area over the baseline's."""
    return (run.operations_per_cycle / run.area_um2) / (base.operations_per_cycle / base.area_um2)


def energy_ratio(base: Result, run: Result) -> float:
    """Energy per operation of the baseline over that of the run."""
    return base.energy_pj_per_operation / run.energy_pj_per_operation


def _libraries() -> dict[str, tuple[Result, ...]]:
    try:
        from ...rtl.synthesis.results import library_names, load_results
    except ImportError:
        return {}
    return {name: load_results(name) for name in library_names()}


def _labelled(results: tuple[Result, ...]) -> dict[str, Result]:
    """The run of each element of Fig. 15 by its label; Anda's by its mantissa bits."""
    found: dict[str, Result] = {}
    for label, (design, parameters) in ELEMENTS.items():
        run = next((r for r in results if r.design == design and dict(r.parameters) == dict(parameters)), None)
        if run is not None:
            found[label] = run
    anda = {r.run: r for r in results if r.design == ANDA and not r.parameters and r.run.startswith("M=")}
    return found | {f"Anda-M{run.removeprefix('M=')}": anda[run] for run in sorted(anda, key=_width, reverse=True)}


def _width(run: str) -> int:
    return int(run.removeprefix("M="))

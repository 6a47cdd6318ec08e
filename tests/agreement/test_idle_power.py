"""Idle power of the technology files against the measured energies of the circuits."""

import pytest
from anda_codesign.experiments.synthesis.elements import elements
from anda_codesign.rtl.synthesis.results import find_idle, library_names
from anda_codesign.sim import load_technology

CLOCK_NS = 3.508


@pytest.mark.parametrize("library", library_names())
def test_ratios_follow_the_measured_energies(library: str) -> None:
    """In a cycle: leakage and clock pins over leakage and all toggles; with a gated clock leakage alone."""
    for label, (design, parameters) in elements(library).items():
        found, element = find_idle(library, design, **parameters), load_technology(library).element(label.lower())
        assert found.idle_pj_per_cycle == found.clock_pj_per_cycle, (
            "nothing but the clock toggles while operands are held"
        )
        leakage = found.leakage_mw * CLOCK_NS
        working = found.working_pj_per_cycle + leakage
        assert element.power_idle is not None and element.power_gated is not None
        assert element.power_idle.value == pytest.approx((found.idle_pj_per_cycle + leakage) / working, rel=1e-3)
        assert element.power_gated.value == pytest.approx(leakage / working, rel=1e-3)


def test_the_published_technology_takes_the_ratios_of_seven_nanometres() -> None:
    published, own = load_technology("paper-16nm"), load_technology("asap7")
    for kind, element in published.elements.items():
        for field in ("power_idle", "power_gated"):
            assert getattr(element, field).value == getattr(own.element(kind), field).value

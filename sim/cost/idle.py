"""Power of idle parts: lanes of the array and of the side unit that hold no operand, and both while they wait."""

from dataclasses import dataclass

from ..config.architecture import Architecture
from ..config.idle import Idle
from ..config.technology import ElementRatios, Technology


@dataclass(frozen=True, slots=True)
class IdleCosts:
    """Costs of idle parts."""

    elements: float = 0.0
    """Power of an idle lane over that of one at work, while the array works."""
    waiting_pj_per_cycle: float = 0.0
    """All elements of a waiting array."""
    side: float = 0.0
    """As `elements`, of the side unit's multipliers."""
    side_pj: float = 0.0
    """One product of the side unit."""
    side_waiting_pj: float = 0.0
    """One waiting lane of the side unit, in a cycle."""
    side_lanes: int = 0
    """Lanes of the side unit; 0 if weights have no sparse part."""
    source: str = ""
    """Source of `elements`."""
    waiting_source: str = ""
    """Source of `waiting_pj_per_cycle`."""


@dataclass(frozen=True, slots=True)
class _Ratios:
    """Power of an idle element over that of one at work, and sources."""

    working: float
    """While the array works."""
    waiting: float
    source: str
    waiting_source: str
    known: bool


def idle_power(
    architecture: Architecture,
    technology: Technology,
    element: ElementRatios,
    idle: Idle,
    clock_gating: bool,
    array_pj: float,
    side_pj: float,
) -> tuple[IdleCosts, tuple[str, ...]]:
    """Costs of idle parts, and a note if the technology does not have what is asked for.

    Parameters
    ----------
    architecture, technology
        The machine.
    element
        Power of its elements.
    idle, clock_gating
        As in `Settings`.
    array_pj, side_pj
        Energy of the whole array in a cycle of work, and of one product of the side unit.
    """
    kind, sparse = architecture.processing_element.kind, architecture.weights.sparse_fraction > 0
    baseline = technology.element(technology.reference.baseline, "reference.baseline")
    array, side = (_ratios(technology, ratios, idle, clock_gating) for ratios in (element, baseline))
    costs = IdleCosts(
        elements=array.working,
        waiting_pj_per_cycle=array.waiting * array_pj,
        side=side.working,
        side_pj=side_pj,
        side_waiting_pj=side.waiting * side_pj,
        side_lanes=architecture.weights.sparse_lanes if sparse else 0,
        source=array.source,
        waiting_source=array.waiting_source,
    )
    if array.known or idle != "measured":
        return costs, ()
    field = "power_gated" if clock_gating else "power_idle"
    own = ", or the idle energy to the element" if architecture.processing_element.amounts else ""
    note = (
        f"idle: technology {technology.name} has no idle power of {kind}; elements without operands count at full power and "
        f"a waiting array at none; add elements.{kind}.{field}{own}"
    )
    return costs, (note,)


def _ratios(technology: Technology, element: ElementRatios, idle: Idle, clock_gating: bool) -> _Ratios:
    found = element.power_gated if clock_gating else element.power_idle
    ratio, source = (None, f"technology {technology.name} has none") if found is None else (found.value, found.source)
    if idle == "zero":
        return _Ratios(0.0, 0.0, "idle zero", "idle zero", found is not None)
    return _Ratios(
        working=1.0 if idle == "full" or ratio is None else ratio,
        waiting=0.0 if ratio is None else ratio,
        source="as at work: idle full" if idle == "full" else source,
        waiting_source=source,
        known=found is not None,
    )

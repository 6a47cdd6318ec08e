"""Area and power of a machine's processing elements relative to the technology's baseline: its own, or the technology's."""

import re

from ...formats import InputError
from ..config.amounts import AREA_UNITS, ENERGY_UNITS, Amount
from ..config.architecture import Architecture, load_architecture
from ..config.constants import Constant
from ..config.processing_element import ProcessingElement
from ..config.technology import Component, ElementRatios, Technology

_NODE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*nm\b")


def element_ratios(architecture: Architecture, technology: Technology) -> ElementRatios:
    """Area and power of the machine's elements over those of the technology's baseline, and their idle power.

    What the element states itself counts; what it leaves out is that of its kind in the technology. Absolute amounts are
    divided by those that one lane of the baseline has in the technology.

    Raises
    ------
    InputError
        Neither gives an energy, a named element is unknown, or an absolute amount is of another node.
    """
    own = architecture.processing_element
    if own.amounts == {}:
        return technology.element(own.kind)
    known = technology.elements.get(own.kind)
    base = _Baseline(technology, own)
    area = base.area(own.area) if own.area is not None else known and known.area
    power = base.power(own.energy_per_cycle) if own.energy_per_cycle is not None else known and known.power
    if power is None:
        raise InputError(
            f"processing_element.energy_per_cycle: {own.kind} states none and technology {technology.name} has no element of "
            "that kind; add it to the element, or to elements of the technology"
        )
    idle = {"power_idle": own.idle_energy_per_cycle, "power_gated": own.gated_energy_per_cycle}
    stated = {
        name: base.idle(name, amount, power) if amount is not None else getattr(known, name, None)
        for name, amount in idle.items()
    }
    return ElementRatios(area=area, power=power, **stated)


class _Baseline:
    """The technology's baseline, against which an element's own amounts are put."""

    def __init__(self, technology: Technology, own: ProcessingElement) -> None:
        self.technology, self.own = technology, own
        self._reference = load_architecture(technology.reference.architecture)

    def area(self, amount: Amount) -> Constant | None:
        """Ratio of areas; None if the named element has none."""
        if amount.relative_to is not None:
            other = self.technology.element(amount.relative_to, "processing_element.area.relative_to").area
            return None if other is None else self._ratio(amount, amount.value * other.value)
        whole = baseline_area_mm2(self.technology, self._reference)
        return self._ratio(amount, amount.scaled(AREA_UNITS) / (whole * self._share), "area")

    def power(self, amount: Amount) -> Constant:
        """Ratio of powers at work."""
        if amount.relative_to is not None:
            other = self.technology.element(amount.relative_to, "processing_element.energy_per_cycle.relative_to")
            return self._ratio(amount, amount.value * other.power.value)
        return self._ratio(amount, amount.scaled(ENERGY_UNITS) / self._pj, "energy_per_cycle")

    def idle(self, name: str, amount: Amount, power: Constant) -> Constant | None:
        """Idle energy over that of a cycle of work of the same element; None if the named element has none."""
        field = {"power_idle": "idle_energy_per_cycle", "power_gated": "gated_energy_per_cycle"}[name]
        if amount.relative_to is not None:
            other = self.technology.element(amount.relative_to, f"processing_element.{field}.relative_to")
            ratio: Constant | None = getattr(other, name)
            if ratio is None:
                return None
            return self._ratio(amount, amount.value * ratio.value * other.power.value / power.value)
        return self._ratio(amount, amount.scaled(ENERGY_UNITS) / self._pj / power.value, field)

    @property
    def _share(self) -> float:
        """One element's share of the lanes of the reference machine's array."""
        array = self._reference.array
        return self.own.lanes / (array.rows * array.columns * self._reference.group_size)

    @property
    def _pj(self) -> float:
        """Energy of a baseline element with the element's lanes in a cycle of work."""
        return baseline_pj_per_cycle(self.technology, self._reference) * self._share

    def _ratio(self, amount: Amount, value: float, absolute: str | None = None) -> Constant:
        node, source = amount.node or self.own.node, amount.source or self.own.source
        if absolute is not None:
            self._check_node(absolute, str(node))
        return Constant.model_construct(  # unchecked, since a sweep has whole columns of values here
            value=value,
            unit="1",
            node=node or "any",
            source=source or f"stated by {self.own.kind}, relative to {amount.relative_to}",
            uncertainty=amount.uncertainty or self.own.uncertainty,
        )

    def _check_node(self, field: str, node: str) -> None:
        """Refuse amounts of another node: no rule scales one circuit to another process."""
        theirs = self.technology.array.area.node
        if _nanometres(node) != _nanometres(theirs):
            raise InputError(
                f"processing_element.{field}.node: is {node!r}, and technology {self.technology.name} is {theirs!r}; take a "
                "technology of that node, or give the value relative_to an element"
            )


def _nanometres(node: str) -> str:
    found = _NODE.match(node)
    return found.group(1) if found else node.strip()


def baseline_area_mm2(technology: Technology, reference: Architecture) -> float:
    """Area of the reference machine's array if it had elements of ratio 1."""
    kind = reference.processing_element.kind
    published = technology.element(kind).area
    if published is None:
        raise InputError(f"elements.{kind}.area: technology {technology.name} needs that of its reference; add it")
    return technology.array.area.value / published.value


def baseline_pj_per_cycle(technology: Technology, reference: Architecture) -> float:
    """Energy of a cycle of the reference machine's array if it had elements of ratio 1."""
    published = technology.element(reference.processing_element.kind).power.value
    return pj_per_cycle(technology.array, reference) / published


def pj_per_cycle(component: Component, reference: Architecture) -> float:
    """Energy of a part of the reference machine in a cycle."""
    return component.power.value * 1e9 / reference.clock_hz

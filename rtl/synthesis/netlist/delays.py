"""Delays of the cells of a netlist, at the slews and loads that static timing finds: those of an SDF file."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..liberty.cell import EDGES, Edge, Pin
from .netlist import Instance, Netlist
from .timing import Timing, is_delay


class PinDelay(NamedTuple):
    """Delays in ps from an input of a cell to one of its outputs, for each edge of the output."""

    related: str
    ps: Mapping[Edge, float]


def output_delays(instance: Instance, pin: Pin, timing: Timing) -> Sequence[PinDelay]:
    """Delay from each connected input to an output: the longest of its arcs, as in static timing.

    An edge without an arc has the delay of the other edge.
    """
    net = instance.nets[pin.name]
    found: dict[str, dict[Edge, float]] = {}
    for arc in pin.arcs:
        source = instance.nets.get(arc.related)
        if not isinstance(source, int) or not isinstance(net, int) or not is_delay(arc):
            continue
        slews = timing.edge_slews_ps.get(source, dict.fromkeys(EDGES, 0.0))
        known = found.setdefault(arc.related, {})
        for edge in EDGES:
            for cause in arc.causes(edge):
                if edge in arc.delay and slews[cause] >= 0:
                    delay = arc.delay[edge](slews[cause], timing.edge_loads_ff[net][edge])
                    known[edge] = max(delay, known.get(edge, delay))
    return [PinDelay(name, dict.fromkeys(EDGES, max(ps.values())) | ps) for name, ps in found.items() if ps]


def cell_delays(netlist: Netlist, timing: Timing) -> dict[int, Sequence[PinDelay]]:
    """Delays to each net that a cell drives, from the inputs of that cell."""
    return {
        net: output_delays(instance, pin, timing)
        for instance in netlist.instances
        for pin in instance.cell.outputs
        if isinstance(net := instance.nets.get(pin.name), int)
    }

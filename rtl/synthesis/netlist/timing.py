"""Static timing of a netlist with the tables of its library (non-linear delay model), without wires, with an ideal clock.

Inputs arrive at time zero with zero slew. Outputs drive a given load. Arrival and slew are the maxima over all arcs, for
each edge separately, as in static timing tools.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..liberty.cell import EDGES, Arc, Edge
from .netlist import Instance, Net, Netlist

_LATE = float("-inf")


@dataclass(slots=True)
class _Point:
    """Latest arrival and largest slew of a net in ps for each edge, and the cause of the arrival."""

    arrival: dict[Edge, float]
    slew: dict[Edge, float]
    cause: dict[Edge, tuple[Instance, Net, Edge] | None]


@dataclass(frozen=True)
class PathStage:
    """Cell on the critical path, with the arrival time at its output in ps."""

    instance: str
    cell: str
    arrival_ps: float


@dataclass(frozen=True)
class Timing:
    """Timing of a netlist.

    Attributes
    ----------
    critical_ps : `float`
        Shortest clock period: arrival at the end of the critical path, with the set-up time of the flip-flop there.
    arrival_ps : `float`
        Arrival at the end of the critical path, without set-up time.
    endpoint : `str`
        Pin or output at the end of the critical path.
    path : `list` of `PathStage`
        Cells on the critical path, from the first.
    slews_ps : `dict`
        Slew of each net, as the mean of both edges. Nets that never change have no entry.
    loads_ff : `dict`
        Load of each net, as the mean of both edges.
    edge_slews_ps, edge_loads_ff : `dict`
        Slew and load of each net for each edge; the slew of an edge that never happens is minus infinity.
    """

    critical_ps: float
    arrival_ps: float
    endpoint: str
    path: list[PathStage]
    slews_ps: Mapping[int, float]
    loads_ff: Mapping[int, float]
    edge_slews_ps: Mapping[int, Mapping[Edge, float]]
    edge_loads_ff: Mapping[int, Mapping[Edge, float]]


def analyze_timing(netlist: Netlist, output_load_ff: float) -> Timing:
    """Compute arrivals and slews of all nets, and the critical path.

    Parameters
    ----------
    netlist : `Netlist`
        Netlist without combinational loops.
    output_load_ff : `float`
        Load of each output of the netlist, in fF.
    """
    loads = _loads(netlist, output_load_ff)
    points = {
        net: _Point(dict.fromkeys(EDGES, 0.0), dict.fromkeys(EDGES, 0.0), dict.fromkeys(EDGES))
        for port in netlist.ports
        if port.is_input
        for net in port.nets
        if isinstance(net, int)
    }
    clocks = _clock_nets(netlist)
    for instance in netlist.instances:
        if instance.cell.flip_flop:
            _propagate(instance, points, loads, clocks)
    for instance in netlist.in_order:
        _propagate(instance, points, loads, clocks)
    required, arrival, endpoint, end = max(_endpoints(netlist, points), key=lambda found: found[0])
    slews = {net: (p.slew["rise"] + p.slew["fall"]) / 2 for net, p in points.items() if min(p.slew.values()) >= 0}
    means = {net: (load["rise"] + load["fall"]) / 2 for net, load in loads.items()}
    edge_slews = {net: point.slew for net, point in points.items()}
    return Timing(required, arrival, endpoint, _trace(points, end), slews, means, edge_slews, loads)


def _loads(netlist: Netlist, output_load_ff: float) -> dict[int, dict[Edge, float]]:
    found: dict[int, dict[Edge, float]] = {
        net: {edge: sum(instance.cell.pins[pin].capacitance[edge] for instance, pin in pins) for edge in EDGES}
        for net, pins in netlist.loads.items()
    }
    for port in netlist.ports:
        for net in port.nets:
            if not port.is_input and isinstance(net, int):
                found[net] = {edge: found[net][edge] + output_load_ff for edge in EDGES}
    return found


def _clock_nets(netlist: Netlist) -> set[Net]:
    return {
        instance.nets[name]
        for instance in netlist.instances
        if instance.cell.flip_flop
        for name in instance.cell.flip_flop.clock.inputs
    }


def _propagate(
    instance: Instance, points: dict[int, _Point], loads: Mapping[int, dict[Edge, float]], clocks: set[Net]
) -> None:
    """Compute arrivals and slews at the outputs of a cell."""
    for pin in instance.cell.outputs:
        net = instance.nets.get(pin.name)
        if not isinstance(net, int):
            continue
        point = _Point(dict.fromkeys(EDGES, _LATE), dict.fromkeys(EDGES, _LATE), dict.fromkeys(EDGES))
        for arc in pin.arcs:
            source = instance.nets.get(arc.related)
            if isinstance(source, int) and source in points and arc.delay and is_delay(arc):
                for edge in EDGES:
                    _relax(point, points[source], source, instance, arc, edge, loads[net][edge])
        if max(point.arrival.values()) > _LATE and net not in clocks:
            points[net] = point


def is_delay(arc: Arc) -> bool:
    """True for the arc of a delay, False for a constraint."""
    return arc.kind in ("combinational", "combinational_rise", "combinational_fall", "rising_edge", "falling_edge")


def _relax(point: _Point, source: _Point, net: Net, instance: Instance, arc: Arc, edge: Edge, load: float) -> None:
    """Update a point with one arc, for one edge of its output."""
    if edge not in arc.delay:
        return
    delay, slew = arc.delay[edge], arc.slew[edge]
    for cause in arc.causes(edge):
        if source.arrival[cause] == _LATE:
            continue
        arrival = source.arrival[cause] + delay(source.slew[cause], load)
        if arrival > point.arrival[edge]:
            point.arrival[edge], point.cause[edge] = arrival, (instance, net, cause)
        point.slew[edge] = max(point.slew[edge], slew(source.slew[cause], load))


_End: TypeAlias = tuple[float, float, str, tuple[Net, Edge]]


def _endpoints(netlist: Netlist, points: Mapping[int, _Point]) -> list[_End]:
    """Shortest period, arrival, name and net of each end of a path: data pins of flip-flops, and outputs."""
    found: list[_End] = [(0.0, 0.0, "", ("0", "rise"))]
    for port in netlist.ports:
        for index, net in enumerate(() if port.is_input else port.nets):
            if isinstance(net, int) and net in points:
                for edge, arrival in points[net].arrival.items():
                    found.append((arrival, arrival, f"{port.name}[{index}]", (net, edge)))
    for instance in netlist.instances:
        for pin in instance.cell.pins.values() if instance.cell.flip_flop else ():
            net = instance.nets.get(pin.name)
            for arc in pin.arcs:
                if arc.kind not in ("setup_rising", "setup_falling") or not isinstance(net, int) or net not in points:
                    continue
                for edge, arrival in points[net].arrival.items():
                    if edge in arc.delay and arrival > _LATE:
                        setup = arc.delay[edge](points[net].slew[edge], 0.0)
                        found.append((arrival + setup, arrival, f"{instance.name}.{pin.name}", (net, edge)))
    return found


def _trace(points: Mapping[int, _Point], end: tuple[Net, Edge]) -> list[PathStage]:
    """Cells on the latest path to a net, from the first."""
    steps: list[PathStage] = []
    net, edge = end
    while isinstance(net, int) and (cause := points[net].cause[edge]) is not None:
        instance, source, source_edge = cause
        steps.insert(0, PathStage(instance.name, instance.cell.name, points[net].arrival[edge]))
        net, edge = source, source_edge
    return steps

"""Gate netlists of Yosys: cells of a library, and the nets that connect them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from ....formats import InputError
from ..liberty.cell import Cell
from ..liberty.cells import CellLibrary

Net: TypeAlias = int | str
"""Number of a net, or a constant: ``"0"``, ``"1"`` or ``"x"``."""

CLOCK, RESET = "clk", "rst"


@dataclass(frozen=True)
class Instance:
    """Instance of a cell, with the net at each of its pins."""

    name: str
    cell: Cell
    nets: Mapping[str, Net]


@dataclass(frozen=True)
class NetlistPort:
    """Port of the netlist, with its nets from the lowest bit."""

    name: str
    is_input: bool
    nets: Sequence[Net]


@dataclass(frozen=True)
class Netlist:
    """Flat netlist of library cells."""

    ports: Sequence[NetlistPort]
    instances: Sequence[Instance]
    library: CellLibrary

    @cached_property
    def nets(self) -> list[int]:
        """Nets that an input port or a cell drives, in rising order."""
        driven = {net for port in self.ports if port.is_input for net in port.nets}
        driven |= {i.nets[pin.name] for i in self.instances for pin in i.cell.outputs if pin.name in i.nets}
        return sorted(net for net in driven if isinstance(net, int))

    @property
    def watched(self) -> list[int]:
        """Nets with counted toggles: all except the clock."""
        clocks = {net for port in self.ports if port.name == CLOCK for net in port.nets}
        return [net for net in self.nets if net not in clocks]

    @cached_property
    def loads(self) -> dict[int, list[tuple[Instance, str]]]:
        """Input pins that each net drives, as (instance, pin)."""
        found: dict[int, list[tuple[Instance, str]]] = {net: [] for net in self.nets}
        for instance in self.instances:
            for pin, net in instance.nets.items():
                if isinstance(net, int) and instance.cell.pins[pin].is_input:
                    found[net].append((instance, pin))
        return found

    @cached_property
    def in_order(self) -> list[Instance]:
        """Combinational cells, each after the cells that drive it.

        Raises
        ------
        InputError
            The cells form a loop.
        """
        combinational = [instance for instance in self.instances if not instance.cell.flip_flop]
        drivers = {i.nets[p.name]: i for i in combinational for p in i.cell.outputs if p.name in i.nets}
        waiting = Counter[int]()
        users: dict[int, list[Instance]] = {}
        for instance in combinational:
            for pin, net in instance.nets.items():
                if instance.cell.pins[pin].is_input and net in drivers:
                    waiting[id(instance)] += 1
                    users.setdefault(id(drivers[net]), []).append(instance)
        ready = [instance for instance in combinational if not waiting[id(instance)]]
        for instance in ready:
            for user in users.get(id(instance), ()):
                waiting[id(user)] -= 1
                if not waiting[id(user)]:
                    ready.append(user)
        if len(ready) < len(combinational):
            raise InputError("design: has a combinational loop; break it with a register")
        return ready

    @property
    def area_um2(self) -> float:
        """Area of all cells, in um2."""
        return sum(instance.cell.area_um2 for instance in self.instances)

    def area_by_class(self) -> dict[str, tuple[int, float]]:
        """Number of cells and their area in um2, for each class of cells."""
        found: dict[str, tuple[int, float]] = {}
        for instance in self.instances:
            count, area = found.get(instance.cell.kind, (0, 0.0))
            found[instance.cell.kind] = count + 1, area + instance.cell.area_um2
        return dict(sorted(found.items()))


def read_netlist(text: bytes | str, top: str, library: CellLibrary) -> Netlist:
    """Read a netlist that ``write_json`` of Yosys wrote.

    Raises
    ------
    InputError
        A part is not mapped to cells of the library, or needs an asynchronous reset.
    """
    module: dict[str, Any] = json.loads(text)["modules"][top]
    unmapped = Counter(cell["type"] for cell in module["cells"].values() if cell["type"] not in library)
    if unmapped:
        kind, count = unmapped.most_common(1)[0]
        raise InputError(
            f"design: {count} cells of type {kind} are not in {library.name}; give a library that has them"
        )
    instances = [
        Instance(name, library.cell(cell["type"]), {pin: bits[0] for pin, bits in cell["connections"].items() if bits})
        for name, cell in module["cells"].items()
    ]
    for instance in instances:
        if instance.cell.unread:
            parts = ", ".join(instance.cell.unread)
            raise InputError(f"design: has {instance.cell.name} with {parts}, which is not read; leave the cell out")
        if instance.cell.flip_flop and instance.cell.flip_flop.is_asynchronous:
            raise InputError(f"design: needs asynchronous resets ({instance.cell.name}); make them synchronous")
    ports = [NetlistPort(name, port["direction"] == "input", port["bits"]) for name, port in module["ports"].items()]
    return Netlist(ports, instances, library)


def structural_verilog(netlist: Netlist, top: str) -> str:
    """Verilog of a netlist that instantiates the cells of its library, for other tools."""
    names: dict[Net, str] = {"0": "1'b0", "1": "1'b1", "x": "1'b0"} | {net: f"n{net}" for net in netlist.nets}
    ports = netlist.ports
    lines = [f"module {top} ({', '.join(port.name for port in ports)});"]
    lines += [f"{'input' if p.is_input else 'output'} [{len(p.nets) - 1}:0] {p.name};" for p in ports]
    lines += [f"wire n{net};" for net in netlist.nets]
    for port in ports:
        for bit, net in enumerate(port.nets):
            left, right = (names[net], f"{port.name}[{bit}]") if port.is_input else (f"{port.name}[{bit}]", names[net])
            lines.append(f"assign {left} = {right};")
    for index, instance in enumerate(netlist.instances):
        pins = ", ".join(f".{pin}({names[net]})" for pin, net in instance.nets.items() if net in names)
        lines.append(f"{instance.cell.name} u{index} ({pins});")
    return "\n".join([*lines, "endmodule", ""])

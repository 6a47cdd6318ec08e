"""References for the simulation with delays: a plain one with a heap of events, and Icarus Verilog with an SDF file."""

import heapq
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from anda_codesign.rtl.synthesis.liberty.cell import Cell
from anda_codesign.rtl.synthesis.netlist.glitches import GlitchSimulator
from anda_codesign.rtl.synthesis.netlist.netlist import CLOCK, RESET, Net, Netlist, structural_verilog
from anda_codesign.rtl.synthesis.netlist.simulator import NetlistSimulator

PERIOD_PS = 100_000


def plain_toggles(simulator: NetlistSimulator, delays: GlitchSimulator, *, is_transport: bool) -> dict[int, int]:
    """Toggles of each net, from one list of events in order of time."""
    netlist = simulator.netlist
    cells = netlist.in_order
    drivers = {i.nets[p.name]: (i, p) for i in cells for p in i.cell.outputs if p.name in i.nets}
    users: dict[Net, list[Net]] = {}
    for net, (instance, pin) in drivers.items():
        for name in set(pin.function.inputs):
            users.setdefault(instance.nets[name], []).append(net)
    values: dict[Net, int] = {"0": 0, "x": 0, "1": 1}
    values |= dict(zip(simulator.sources, simulator.trace[0].tolist(), strict=True))

    def computed(net: Net) -> int:
        instance, pin = drivers[net]
        row = int("".join(str(values[instance.nets[name]]) for name in pin.function.inputs) or "0", 2)
        return int(pin.function.table[row])

    for instance in cells:
        values |= {
            instance.nets[p.name]: computed(instance.nets[p.name])
            for p in instance.cell.outputs
            if p.name in instance.nets
        }
    aim, waiting = dict(values), {net: list[tuple[int, int]]() for net in values}
    toggles = dict.fromkeys(netlist.watched, 0)
    for before, after in zip(simulator.trace, simulator.trace[1:], strict=False):
        heap: list[tuple[int, int]] = []
        for net, old, new in zip(simulator.sources, before.tolist(), after.tolist(), strict=True):
            if old != new:
                time = next(iter(delays.ticks.get(net, {}).values()), (0, 0))[new]
                aim[net] = new
                waiting[net].append((time, new))
                heapq.heappush(heap, (time, net))
        while heap:
            now = heap[0][0]
            changed: set[Net] = set()
            while heap and heap[0][0] == now:
                _, net = heapq.heappop(heap)
                due = [entry for entry in waiting[net] if entry[0] == now]
                waiting[net] = [entry for entry in waiting[net] if entry[0] > now]
                result = (due[0][1] if due else values[net]) if is_transport else aim[net]
                if values[net] != result:
                    values[net] = result
                    toggles[net] += 1
                    changed.add(net)
            for target in {user for net in changed for user in users.get(net, ())}:
                result = computed(target)
                if result == aim[target]:
                    continue
                aim[target] = result
                instance, pin = drivers[target]
                moved = [name for name in pin.function.inputs if instance.nets[name] in changed]
                time = now + min(delays.ticks[target][name][result] for name in moved)
                kept = [entry for entry in waiting[target] if entry[0] < time]
                if is_transport and result == (kept[-1][1] if kept else values[target]):
                    waiting[target] = kept
                    continue
                waiting[target] = [*kept, (time, result)]
                heapq.heappush(heap, (time, target))
    return toggles


def _cell_verilog(cell: Cell, pins: Sequence[str]) -> str:
    """Verilog of a cell with a module path from each input, or from the clock, to each output."""
    flip_flop = cell.flip_flop
    inputs = [name for name in pins if cell.pins[name].is_input]
    outputs = [pin for pin in cell.outputs if pin.name in pins]
    names = {name: name for name in inputs}
    lines = [f"module {cell.name} ({', '.join(pins)});", f"input {', '.join(inputs)};"]
    lines += [f"output {pin.name};" for pin in outputs]
    if flip_flop:
        names |= {flip_flop.state: "state", flip_flop.complement: "(~state)"}
        lines += ["reg state;", "initial state = 0;"]
        lines += [f"always @(posedge {flip_flop.clock.verilog(names)}) state <= {flip_flop.next_state.verilog(names)};"]
    lines += [f"assign {pin.name} = {pin.function.verilog(names)};" for pin in outputs]
    paths = [
        (name, pin)
        for pin in outputs
        for name in (flip_flop.clock.inputs if flip_flop else dict.fromkeys(pin.function.inputs))
    ]
    lines += ["specify", *(f"({name} => {pin.name}) = (0, 0);" for name, pin in paths), "endspecify", "endmodule"]
    return "\n".join(lines)


def _sdf(netlist: Netlist, delays: GlitchSimulator) -> str:
    """Delays of all instances, with the names of `structural_verilog`; rising before falling, in ps."""
    cells: list[str] = []
    for index, instance in enumerate(netlist.instances):
        paths = [
            f"(IOPATH {related} {pin.name} ({rise / 10:.1f}) ({fall / 10:.1f}))"
            for pin in instance.cell.outputs
            if pin.name in instance.nets
            for related, (fall, rise) in delays.ticks[instance.nets[pin.name]].items()
        ]
        cells.append(
            f'(CELL (CELLTYPE "{instance.cell.name}") (INSTANCE u{index}) (DELAY (ABSOLUTE {" ".join(paths)})))'
        )
    return "\n".join(['(DELAYFILE (SDFVERSION "3.0") (TIMESCALE 1ps)', *cells, ")"])


def _testbench(simulator: NetlistSimulator) -> str:
    """Replays the inputs of a run, in the period of the clock, and prints the toggles of each net."""
    netlist = simulator.netlist
    column = {net: index for index, net in enumerate(simulator.sources)}
    inputs = [port for port in netlist.ports if port.is_input and port.name != CLOCK]
    is_clocked = any(port.name == CLOCK for port in netlist.ports)

    def bits(sample: Mapping[int, int] | None, port: str, nets: Sequence[Net]) -> str:
        if sample is None:
            return f"{len(nets)}'b{'1' * len(nets) if port == RESET else '0' * len(nets)}"
        return f"{len(nets)}'b{''.join(str(sample.get(column.get(net, -1), 0)) for net in reversed(nets))}"

    def drive(sample: Mapping[int, int] | None) -> str:
        return " ".join(f"{port.name} <= {bits(sample, port.name, port.nets)};" for port in inputs)

    samples = [dict(enumerate(row)) for row in simulator.trace.tolist()]
    steps = [f"clk = 1; {drive(sample)} #{PERIOD_PS / 2} clk = 0; #{PERIOD_PS / 2} counting = 1;" for sample in samples]
    lines = ["`timescale 1ps/100fs", "module bench;", "reg clk = 0, counting = 0;"]
    lines += [f"reg [{len(port.nets) - 1}:0] {port.name};" for port in inputs]
    ports = [f".{port.name}({port.name})" for port in inputs] + ([f".{CLOCK}(clk)"] if is_clocked else [])
    lines += [f"dut d ({', '.join(ports)});", 'initial $sdf_annotate("dut.sdf", d);']
    for net in netlist.watched:
        lines += [f"integer c{net} = 0;", f"always @(d.n{net}) if (counting) c{net} = c{net} + 1;"]
    lines += ["initial begin", f"{drive(None)} #{PERIOD_PS};", *steps]
    lines += [f'$display("toggles {net} %0d", c{net});' for net in netlist.watched]
    return "\n".join([*lines, "$finish;", "end", "endmodule", ""])


def icarus_toggles(simulator: NetlistSimulator, delays: GlitchSimulator, folder: Path) -> dict[int, int]:
    """Toggles of each net in Icarus Verilog, with module paths and an SDF file."""
    netlist = simulator.netlist
    cells = {instance.cell.name: (instance.cell, list(instance.cell.pins)) for instance in netlist.instances}
    pins = {
        name: [pin for pin in names if pin in {p for i in netlist.instances if i.cell.name == name for p in i.nets}]
        for name, (_, names) in cells.items()
    }
    models = [_cell_verilog(cell, pins[name]) for name, (cell, _) in cells.items()]
    source = "\n".join(["`timescale 1ps/100fs", *models, structural_verilog(netlist, "dut"), _testbench(simulator)])
    (folder / "bench.v").write_text(source)
    (folder / "dut.sdf").write_text(_sdf(netlist, delays))
    subprocess.run(["iverilog", "-g2005-sv", "-gspecify", "-o", "bench", "bench.v"], cwd=folder, check=True)
    printed = subprocess.run(["vvp", "bench"], cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert not any("error" in line.lower() or "warning" in line.lower() for line in printed.splitlines()), printed[
        :2000
    ]
    return {int(words[1]): int(words[2]) for words in lines if words[:1] == ["toggles"]}

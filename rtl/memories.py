"""On-chip memories as RTLIL modules of their own, one for each size, without initial contents.

A memory of one port to write and one synchronous port to read becomes the module ``ram_{depth}x{width}``: an inferred RAM,
or a module without contents in place of which a RAM macro is put.
"""

from amaranth.hdl import ClockSignal, Instance, Shape
from amaranth.lib.memory import Memory
from amaranth.utils import ceil_log2


def is_plain_ram(memory: Memory) -> bool:
    """True for one write port of whole rows, one synchronous read port that reads the row as it was, and zero contents."""
    if len(memory.write_ports) != 1 or len(memory.read_ports) != 1 or any(memory.data.init):
        return False
    (write,), (read,) = memory.write_ports, memory.read_ports
    return read.domain == write.domain == "sync" and not read.transparent_for and len(write.en) == 1


def ram_instance(memory: Memory) -> tuple[str, str, Instance]:
    """Module name, RTLIL and instance of a memory for which `is_plain_ram` holds."""
    width = Shape.cast(memory.shape).width
    name = f"ram_{memory.depth}x{width}"
    (write,), (read,) = memory.write_ports, memory.read_ports
    instance = Instance(
        name,
        i_clk=ClockSignal(),
        i_write_enable=write.en,
        i_write_address=write.addr,
        i_write_data=write.data,
        i_read_enable=read.en,
        i_read_address=read.addr,
        o_read_data=read.data,
    )
    return name, _ram(name, width, memory.depth), instance


def _ram(name: str, width: int, depth: int) -> str:
    """RTLIL of a RAM; a row that is written in the cycle in which it is read is read as it was."""
    bits = ceil_log2(depth)
    row = [("WIDTH", str(width)), ("ABITS", str(bits)), ("CLK_ENABLE", "1"), ("CLK_POLARITY", "1")]
    unknown = f"{width}'{'x' * width}"
    enable = " ".join([r"\write_enable"] * width)
    write = _cell(
        "$memwr_v2",
        "write",
        [*row, ("MEMID", r'"\\rows"'), ("PORTID", "0"), ("PRIORITY_MASK", "0")],
        [("CLK", "\\clk"), ("EN", f"{{ {enable} }}"), ("ADDR", "\\write_address"), ("DATA", "\\write_data")],
    )
    masks = [("TRANSPARENCY_MASK", "1'0"), ("COLLISION_X_MASK", "1'0"), ("CE_OVER_SRST", "0")]
    unset = [(f"{kind}_VALUE", unknown) for kind in ("ARST", "SRST", "INIT")]
    read = _cell(
        "$memrd_v2",
        "read",
        [*row, ("MEMID", r'"\\rows"'), *masks, *unset],
        [
            ("CLK", "\\clk"),
            ("EN", "\\read_enable"),
            ("ARST", "1'0"),
            ("SRST", "1'0"),
            ("ADDR", "\\read_address"),
            ("DATA", "\\read_data"),
        ],
    )
    inputs = [("clk", 1), ("write_enable", 1), ("write_address", bits), ("write_data", width)]
    inputs += [("read_enable", 1), ("read_address", bits)]
    ports = [f"  wire width {bits_} input {index} \\{port}" for index, (port, bits_) in enumerate(inputs)]
    ports.append(f"  wire width {width} output {len(inputs)} \\read_data")
    return "\n".join(
        [f"module \\{name}", *ports, f"  memory width {width} size {depth} \\rows", *write, *read, "end", ""]
    )


def _cell(kind: str, name: str, parameters: list[tuple[str, str]], ports: list[tuple[str, str]]) -> list[str]:
    return [
        f"  cell {kind} ${name}",
        *(f"    parameter \\{key} {value}" for key, value in parameters),
        *(f"    connect \\{key} {value}" for key, value in ports),
        "  end",
    ]

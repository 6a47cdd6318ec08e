"""Testbenches of an export folder: Verilog and cocotb, with the same vectors, and a Makefile that runs them."""

from collections.abc import Iterator, Mapping, Sequence
from string import Template

from amaranth.lib import wiring

from ..verilog.interface import PortGroup, interface
from .vectors import Vectors


def testbench_files(top: str, language: str, design: wiring.Component, vectors: Vectors) -> dict[str, str]:
    """Texts of the testbenches and their vectors, by name."""
    groups = interface(design)
    make = _TEMPLATES["Makefile"].substitute(top=top, source=f"{top}.{language}")
    files = {"Makefile": make, f"tb_{top}.v": _verilog(top, groups, vectors)}
    if vectors.is_clocked:
        names = {"inputs": list(vectors.inputs), "outputs": list(vectors.outputs)}
        files[f"test_{top}.py"] = _TEMPLATES["cocotb"].substitute(top=top, **names, **_about(vectors))
    for name, values in {**vectors.inputs, **vectors.outputs}.items():
        bits = _width(groups, name)
        files[f"vectors/{name}.hex"] = "".join(f"{value % (1 << bits):0{-(-bits // 4)}x}\n" for value in values)
    return files


def _about(vectors: Vectors) -> dict[str, str]:
    return {"run": vectors.run, "source": vectors.source}


def _width(groups: Sequence[PortGroup], name: str) -> int:
    payload = next(group.payload for group in groups if group.name == name)
    assert payload is not None
    return payload.width


def _verilog(top: str, groups: Sequence[PortGroup], vectors: Vectors) -> str:
    if not vectors.is_clocked:
        return _rows(top, groups, vectors)
    parts = [part for group in groups for part in _stream(group, vectors)]
    connections = [f".{port.name}({port.name})" for group in groups for port in group.ports]
    left = " && ".join(f"{name}_moved == {len(values)}" for name, values in vectors.outputs.items())
    return _TEMPLATES["clocked"].substitute(
        top=top,
        streams="\n".join(parts),
        connections=",\n    ".join([".clk(clk)", ".rst(rst)", *connections]),
        finished=left,
        checked=sum(map(len, vectors.outputs.values())),
        **_about(vectors),
    )


def _stream(group: PortGroup, vectors: Vectors) -> Iterator[str]:
    """Declarations of a stream's ports, and its driver or its check."""
    names = {port.name.removeprefix(f"{group.name}__"): port for port in group.ports}
    driven = group.name in vectors.inputs
    for kind, port in names.items():
        bits = f"[{port.width - 1}:0] " if port.width > 1 else ""
        if port.is_input and not (driven or group.name in vectors.outputs):
            yield f"  wire {bits}{port.name} = 0;  // idle"
        elif port.is_input and kind in ("valid", "ready"):
            yield f"  reg {bits}{port.name} = 0;"
        elif not (port.is_input and driven):
            yield f"  wire {bits}{port.name};"
    kind = "driver" if driven else "check" if group.name in vectors.outputs else None
    if kind is None or group.payload is None:
        return
    count = len({**vectors.inputs, **vectors.outputs}[group.name])
    yield _TEMPLATES[kind].substitute(
        name=group.name,
        bits=group.payload.width,
        count=count,
        payload=group.payload.name,
        valid=f"{group.name}__valid" if "valid" in names else "1'b1",
        ready=f"{group.name}__ready" if "ready" in names else "1'b1",
        wait=f"    {group.name}__ready <= !(pauses && random[0]);\n" if "ready" in names else "",
    )


def _rows(top: str, groups: Sequence[PortGroup], vectors: Vectors) -> str:
    count = len(next(iter(vectors.inputs.values())))
    memories, steps, checks = list[str](), list[str](), list[str]()
    for group in groups:
        name, bits = group.name, _width(groups, group.name)
        if name in vectors.inputs:
            memories.append(f"  reg [{bits - 1}:0] {name}, {name}_vectors [0:{count - 1}];")
            steps.append(f"      {name} = {name}_vectors[row];")
        elif name in vectors.outputs:
            memories.append(f"  wire [{bits - 1}:0] {name};\n  reg [{bits - 1}:0] {name}_vectors [0:{count - 1}];")
            checks.append(f"      if ({name} !== {name}_vectors[row]) errors = errors + 1;")
        else:
            memories.append(f"  wire [{bits - 1}:0] {name};")
    names = [*vectors.inputs, *vectors.outputs]
    return _TEMPLATES["rows"].substitute(
        top=top,
        memories="\n".join(memories),
        connections=",\n    ".join(f".{group.name}({group.name})" for group in groups),
        reads="\n".join(f'    $$readmemh("vectors/{name}.hex", {name}_vectors);'.replace("$$", "$") for name in names),
        steps="\n".join(steps),
        checks="\n".join(checks),
        count=count,
        **_about(vectors),
    )


_TEMPLATES: Mapping[str, Template] = {
    "Makefile": Template("""\
# Testbenches of $top. Each ends with PASS, or with FAIL and an exit status that is not 0. Waves go to $top.fst.
# Tested with Icarus Verilog 11, Verilator 5.048 and cocotb 2.1.
#   make icarus      Icarus Verilog 11 or later
#   make verilator   Verilator 5 or later, and a C++ compiler with coroutines; waves with TRACE=--trace-fst and zlib's headers
#   make cocotb      pip install cocotb, and Icarus Verilog
#   make icarus PLUS=+pauses   with bubbles and back-pressure
PLUS ?=
TRACE ?=
VERILATOR ?= verilator
COCOTB = $$(shell cocotb-config --makefiles)

.PHONY: icarus verilator cocotb clean
icarus:
	iverilog -g2012 -o $top.vvp -s tb_$top tb_$top.v $source
	vvp $top.vvp -fst +dump $$(PLUS)

verilator:
	$$(VERILATOR) --binary --timing -CFLAGS -std=c++20 $$(TRACE) -Wno-fatal -Wno-lint --top-module tb_$top tb_$top.v $source
	obj_dir/Vtb_$top $$(if $$(TRACE),+dump) $$(PLUS)

cocotb:
	$$(MAKE) -f $$(COCOTB)/Makefile.sim SIM=icarus TOPLEVEL_LANG=verilog VERILOG_SOURCES=$$(CURDIR)/$source \\
		TOPLEVEL=$top COCOTB_TOPLEVEL=$top MODULE=test_$top COCOTB_TEST_MODULES=test_$top COMPILE_ARGS=-g2012

clean:
	rm -rf $top.vvp $top.fst obj_dir sim_build results.xml __pycache__
"""),
    "clocked": Template("""\
// Testbench of $top: $run, $source.
// Plusargs: +dump writes $top.fst, +pauses makes bubbles and back-pressure.
`timescale 1ns/1ps
module tb_$top;
  reg clk = 0;
  reg rst = 1;
  reg pauses = 0;
  reg [31:0] random = 1;
  integer errors = 0;
  integer idle_cycles = 0;

$streams

  $top dut (
    $connections
  );

  always #1.754 clk = !clk;

  always @(posedge clk) begin
    random <= {random[30:0], random[31] ^ random[21] ^ random[1] ^ random[0]};
    idle_cycles <= idle_cycles + 1;
    if ($finished) begin
      if (errors != 0) $$fatal(1, "FAIL: %0d of $checked payloads differ", errors);
      $$display("PASS: $checked payloads");
      $$finish;
    end
    if (idle_cycles > 100000) $$fatal(1, "FAIL: payloads are missing");
  end

  initial begin
    pauses = $$test$$plusargs("pauses") != 0;
    if ($$test$$plusargs("dump") != 0) begin
      $$dumpfile("$top.fst");
      $$dumpvars(0, tb_$top);
    end
    repeat (2) @(posedge clk);
    rst <= 0;
  end
endmodule
"""),
    "driver": Template("""\
  // sends $count payloads of $name; a payload that is offered stays until it has moved
  reg [${bits}-1:0] ${name}_vectors [0:$count];
  integer ${name}_sent = 0;
  wire [${bits}-1:0] $payload = ${name}_vectors[${name}_sent];
  initial $$readmemh("vectors/$name.hex", ${name}_vectors, 0, $count - 1);
  always @(posedge clk) if (!rst && (!$valid || $ready)) begin
    $valid <= ${name}_sent + ($valid ? 1 : 0) < $count && !(pauses && random[3]);
    if ($valid) ${name}_sent <= ${name}_sent + 1;
  end
"""),
    "check": Template("""\
  // compares $count payloads of $name
  reg [${bits}-1:0] ${name}_vectors [0:$count];
  integer ${name}_moved = 0;
  initial $$readmemh("vectors/$name.hex", ${name}_vectors, 0, $count - 1);
  always @(posedge clk) begin
$wait    if (!rst && $valid && $ready) begin
      if ($payload !== ${name}_vectors[${name}_moved]) begin
        errors <= errors + 1;
        $$display("$name %0d: %h, expected %h", ${name}_moved, $payload, ${name}_vectors[${name}_moved]);
      end
      ${name}_moved <= ${name}_moved + 1;
    end
  end
"""),
    "rows": Template("""\
// Testbench of $top: $run, $source.
// Plusargs: +dump writes $top.fst.
`timescale 1ns/1ps
module tb_$top;
  integer row, errors = 0;
$memories

  $top dut (
    $connections
  );

  initial begin
$reads
    if ($$test$$plusargs("dump") != 0) begin
      $$dumpfile("$top.fst");
      $$dumpvars(0, tb_$top);
    end
    for (row = 0; row < $count; row = row + 1) begin
$steps
      #1;
$checks
      #1;
    end
    if (errors != 0) $$fatal(1, "FAIL: %0d values differ", errors);
    $$display("PASS: $count rows");
    $$finish;
  end
endmodule
"""),
    "cocotb": Template('''\
"""Testbench of $top: $run, $source. Needs cocotb (pip install cocotb); ``make cocotb`` runs it in Icarus Verilog."""

import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, with_timeout

INPUTS = $inputs
OUTPUTS = $outputs


def vectors(name):
    """Payloads of a stream, in order."""
    return [int(line, 16) for line in (Path(__file__).parent / "vectors" / f"{name}.hex").read_text().split()]


async def moves(dut, name, part):
    """True if the other side takes part in this cycle; a stream without the port always does."""
    await ReadOnly()
    port = getattr(dut, f"{name}__{part}", None)
    return port is None or int(port.value) == 1


async def send(dut, name, pauses):
    """Offer each payload until it has moved."""
    for payload in vectors(name):
        while pauses and random.random() < 0.3:
            await FallingEdge(dut.clk)
        getattr(dut, f"{name}__payload").value = payload
        getattr(dut, f"{name}__valid").value = 1
        while not await moves(dut, name, "ready"):
            await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        getattr(dut, f"{name}__valid").value = 0


async def receive(dut, name, pauses):
    """Compare every payload."""
    for index, expected in enumerate(vectors(name)):
        moved = False
        while not moved:
            ready = not (pauses and random.random() < 0.3)
            if hasattr(dut, f"{name}__ready"):
                getattr(dut, f"{name}__ready").value = int(ready)
            moved = await moves(dut, name, "valid") and ready
            if moved:
                found = int(getattr(dut, f"{name}__payload").value)
                assert found == expected, f"{name} {index}: {found:x}, expected {expected:x}"
            await FallingEdge(dut.clk)


async def run(dut, pauses):
    random.seed(1)
    for name in INPUTS:
        getattr(dut, f"{name}__valid").value = 0
    cocotb.start_soon(Clock(dut.clk, 10, "step").start())
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    for name in INPUTS:
        cocotb.start_soon(send(dut, name, pauses))
    for task in [cocotb.start_soon(receive(dut, name, pauses)) for name in OUTPUTS]:
        await with_timeout(task, 1_000_000, "step")


@cocotb.test()
async def payloads(dut):
    """Every payload, without a pause."""
    await run(dut, pauses=False)


@cocotb.test()
async def payloads_with_pauses(dut):
    """The same with bubbles and back-pressure."""
    await run(dut, pauses=True)
'''),
}

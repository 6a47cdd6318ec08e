"""Static timing against OpenSTA, and against a chain timed by hand."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl import create_design
from anda_codesign.rtl.synthesis import CellLibrary, find_library
from anda_codesign.rtl.synthesis.flow import map_design, output_load_ff
from anda_codesign.rtl.synthesis.netlist.netlist import Instance, Netlist, NetlistPort, structural_verilog
from anda_codesign.rtl.synthesis.netlist.timing import Timing, analyze_timing

from .synthesis_cases import folder_of, osu018

SCRIPT = """
{libraries}
read_verilog netlist.v
link_design circuit
create_clock -name clk -period {period} [get_ports clk]
set_input_delay 0 -clock clk [get_ports activation__valid]
set_output_delay 0 -clock clk [all_outputs]
set_load {load} [all_outputs]
report_checks -path_delay max -digits 6
exit
"""


def chain(*names: str) -> tuple[Netlist, CellLibrary]:
    """Chain of cells from an input to an output."""
    library = osu018()
    cells = [library.cell(name) for name in names]
    instances = [Instance(f"u{i}", cell, {"A": i, "Y": i + 1}) for i, cell in enumerate(cells)]
    ports = [NetlistPort("a", True, [0]), NetlistPort("y", False, [len(cells)])]
    return Netlist(ports, instances, library), library


@pytest.mark.osu018
def test_a_chain_by_hand() -> None:
    netlist, library = chain("INVX1", "BUFX2")
    timing = analyze_timing(netlist, 30.0)
    inverter, buffer = (library.cell(name).pins["Y"].arcs[0] for name in ("INVX1", "BUFX2"))
    load = library.cell("BUFX2").pins["A"].capacitance
    ends = {}
    for edge in ("rise", "fall"):
        delay, slew = inverter.delay[edge](0, load[edge]), inverter.slew[edge](0, load[edge])
        ends[edge] = delay + buffer.delay[edge](slew, 30.0)
    assert timing.critical_ps == timing.arrival_ps == pytest.approx(max(ends.values()))
    assert [step.cell for step in timing.path] == ["INVX1", "BUFX2"]
    assert timing.endpoint == "y[0]"
    assert timing.loads_ff[2] == 30.0


@pytest.mark.osu018
def test_a_loop_is_refused() -> None:
    library = osu018()
    inverter = library.cell("INVX1")
    instances = [Instance("u0", inverter, {"A": 1, "Y": 0}), Instance("u1", inverter, {"A": 0, "Y": 1})]
    with pytest.raises(InputError) as caught:
        analyze_timing(Netlist([], instances, library), 1.0)
    assert str(caught.value).startswith("design: has a combinational loop")


def opensta_slack(netlist: Netlist, period_ps: float, load_ff: float, folder: Path, ps: float, ff: float) -> float:
    """Critical path of OpenSTA in ps; `ps` and `ff` are the units of the library."""
    files: list[Path] = []
    for path in netlist.library.files:  # this OpenSTA reads plain files alone
        plain = folder / path.name.removesuffix(".gz")
        plain.write_bytes(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        files.append(plain)
    (folder / "netlist.v").write_text(structural_verilog(netlist, "circuit"))
    libraries = "\n".join(f"read_liberty {path}" for path in files)
    script = SCRIPT.format(libraries=libraries, period=f"{period_ps / ps:.6f}", load=f"{load_ff / ff:.6f}")
    (folder / "run.tcl").write_text(script)
    command = ["sta", "-exit", "run.tcl"]
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(-?[\d.]+) +slack", output)
    assert found is not None, output[-2000:]
    return float(found[1]) * ps


def timed(library: CellLibrary, lanes: int) -> tuple[Netlist, Timing, float]:
    netlist = map_design(create_design("anda-pe", lanes=lanes), library, 3508, "area")
    load = output_load_ff(library)
    return netlist, analyze_timing(netlist, load), load


@pytest.mark.tool("sta")
@pytest.mark.osu018
def test_critical_path_equals_opensta_in_osu018(tmp_path: Path) -> None:
    netlist, timing, load = timed(osu018(), 8)
    slack = opensta_slack(netlist, timing.critical_ps, load, tmp_path, 1e3, 1e3)
    assert abs(slack) < 1e-3 * timing.critical_ps


@pytest.mark.tool("sta")
def test_critical_path_equals_opensta_in_asap7(tmp_path: Path) -> None:
    netlist, timing, load = timed(find_library([folder_of("asap7")]), 64)
    slack = opensta_slack(netlist, timing.critical_ps, load, tmp_path, 1.0, 1.0)
    assert abs(slack) < 1e-3 * timing.critical_ps

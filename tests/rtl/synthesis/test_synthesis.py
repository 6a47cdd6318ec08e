"""Measurements of circuits: simulation of the netlist, energy, documents, errors."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.rtl import create_design
from anda_codesign.rtl.simulation.compiled import compile_design
from anda_codesign.rtl.simulation.streams import StalledError
from anda_codesign.rtl.synthesis import (
    NetlistMismatchError,
    all_designs,
    find_library,
    records,
    synthesize,
    with_allowances,
    write_report,
)
from anda_codesign.rtl.synthesis.flow import map_design
from anda_codesign.rtl.synthesis.measure import measure
from anda_codesign.rtl.synthesis.netlist.netlist import Instance, Netlist, NetlistPort, read_netlist
from anda_codesign.rtl.synthesis.netlist.power import Activity, EnergyModel
from anda_codesign.rtl.synthesis.netlist.simulator import NetlistSimulator
from anda_codesign.rtl.synthesis.netlist.timing import analyze_timing
from anda_codesign.rtl.synthesis.stimuli.registry import stimuli
from anda_codesign.workloads.files import read_checked

from .gate_simulator import GateSimulator
from .synthesis_cases import operands, osu018, without

pytestmark = [pytest.mark.osu018]


@pytest.fixture(scope="module")
def document() -> dict:
    return synthesize("anda-pe", {"lanes": 8}, osu018(), 20_000, operands(), [4, 7])


def test_a_document(document: dict) -> None:
    assert document["library"]["name"] == "osu018_stdcells" and document["library"]["voltage_v"] == 1.8
    assert document["clock_met"] and document["critical_ps"] < document["period_ps"] == 20_000
    parts = document["area_by_class"]
    assert sum(part["area_um2"] for part in parts.values()) == pytest.approx(document["area_um2"])
    assert sum(part["cells"] for part in parts.values()) == document["cells"]
    assert parts["flip-flop"]["cells"] == 40  # 8 signs, a sum of 23 bits, an exponent of 6, and first, loaded and done
    assert [run["run"] for run in document["runs"]] == ["M=4", "M=7"]
    for run in document["runs"]:
        assert run["compared"] == 8 and run["operations"] == 64
        total = sum(run[f"{part}_pj_per_cycle"] for part in ("switching", "internal", "clock"))
        assert run["energy_pj_per_cycle"] == pytest.approx(total + run["leakage_mw"] * 20, rel=1e-4)
        assert run["power_mw"] == pytest.approx(run["energy_pj_per_cycle"] / 20, rel=1e-4)
        assert document["idle_pj_per_cycle"] == run["clock_pj_per_cycle"] < total / 2  # held operands: the clock alone
        assert run["toggles_per_net_and_cycle"] > 1.1 * run["zero_delay_toggles_per_net_and_cycle"]
        assert run["energy_pj_per_cycle"] > run["zero_delay_energy_pj_per_cycle"]
        assert (
            run["zero_delay_energy_pj_per_cycle"] > run["zero_delay_dynamic_pj_per_cycle"] > run["clock_pj_per_cycle"]
        )
    assert document["not_included"] == "wires and clock tree are not in it"


def test_more_mantissa_bits_cost_more_energy(document: dict) -> None:
    short, long = (run["energy_pj_per_operation"] for run in document["runs"])
    assert 1.2 < long / short < 8 / 5 * 1.2


def test_reports(document: dict, tmp_path: Path) -> None:
    text, table = write_report([document], tmp_path)
    assert yaml.safe_load(text.read_text()) == [document]
    frame = pd.read_parquet(table)
    assert frame["run"].tolist() == ["M=4", "M=7"]
    assert frame["area_um2_flip_flop"].iloc[0] == document["area_by_class"]["flip-flop"]["area_um2"]
    assert set(records([document])[0]) == set(frame.columns)


@pytest.mark.parametrize("name", ["bpc-lane", "int-to-fp16", "fp32-adder", "fp16-multiplier", "fp32-to-fp16"])
def test_other_circuits_agree_with_formats(name: str) -> None:
    parameters = {"lanes": 8} if name == "bpc-lane" else {}
    found = synthesize(name, parameters, osu018(), 20_000, operands(), [4])
    assert all(run["energy_pj_per_cycle"] > 0 for run in found["runs"])


@pytest.mark.parametrize("cache", ["synthesis", "netlists", "circuits"])
def test_a_changed_bit_of_a_cached_file(cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is made again: document, netlist of the gates, compiled circuit."""
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))

    def measured() -> dict:
        return synthesize("fp16-multiplier", {}, osu018(), 20_000, operands(), [4])

    before = measured()
    compile_design(create_design("fp16-multiplier"), "cxxrtl")
    (file,) = [path for path in (tmp_path / cache).iterdir() if cache != "circuits" or path.name.startswith("cxxrtl")]
    content = file.read_bytes()
    file.unlink()  # this process has mapped a library
    file.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    if cache == "netlists":
        map_design(create_design("fp16-multiplier"), osu018(), 20_000, "area")
    elif cache == "circuits":
        compile_design(create_design("fp16-multiplier"), "cxxrtl")
    assert measured() == before
    assert read_checked(file) is not None


def test_every_design_has_a_stimulus() -> None:
    groups = operands(groups=48, lanes=64)
    designs = all_designs()
    for name, parameters in designs:
        assert stimuli(create_design(name, **parameters), groups, [7]), name
    published = {"anda-pe", "anda-pe-scaled", "bpc-lane", "compressor", "fp-fp-pe", "fp-fp-mac", "fp-int-pe", "ifpu-pe"}
    published |= {"figna-pe", "figlut-pe", "running-sum", "vector-unit", "matrix-unit"}
    published |= {"squeezellm-decoder", "spqr-decoder", "di-exp", "integer-sqrt", "softmax-lane"}
    assert published <= {name for name, _ in designs}
    assert {p["mantissa_bits"] for name, p in designs if name == "figna-pe"} == {13, 11, 8}


def test_a_wrong_netlist_gives_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    library = osu018()
    design = create_design("anda-pe", lanes=8)
    good = map_design(design, library, 20_000, "area")
    index = next(i for i, instance in enumerate(good.instances) if instance.cell.name == "XOR2X1")
    swapped = replace(good.instances[index], cell=library.cell("XNOR2X1"))
    bad = replace(good, instances=[*good.instances[:index], swapped, *good.instances[index + 1 :]])
    monkeypatch.setattr("anda_codesign.rtl.synthesis.measure.map_design", lambda *_: bad)
    with pytest.raises(NetlistMismatchError) as caught:
        measure(design, stimuli(design, operands(), [4]), library, 20_000)
    assert str(caught.value).startswith("netlist: ")
    assert "no figure is reported" in str(caught.value)


def two_gates() -> Netlist:
    """y = not (a and b), followed by a flip-flop."""
    library = osu018()
    gate, flip_flop = library.cell("NAND2X1"), library.cell("DFFPOSX1")
    return Netlist(
        [
            NetlistPort("a", True, [1]),
            NetlistPort("b", True, [2]),
            NetlistPort("clk", True, [3]),
            NetlistPort("rst", True, [4]),
            NetlistPort("q", False, [6]),
        ],
        [
            Instance("u0", gate, {"A": 1, "B": 2, "Y": 5}),
            Instance("u1", flip_flop, {"D": 5, "CLK": 3, "Q": 6}),
        ],
        library,
    )


def test_energy_by_hand() -> None:
    netlist = two_gates()
    timing = analyze_timing(netlist, 10.0)
    energy = EnergyModel(netlist, timing).cycle_energy(Activity({1: 50, 2: 0, 5: 50, 6: 20}, 100))
    gate, flip_flop = netlist.instances[0].cell, netlist.instances[1].cell
    loads = {1: gate.pins["A"].mean_capacitance, 5: flip_flop.pins["D"].mean_capacitance, 6: 10.0}
    square = 1.8**2 / 2
    assert energy.switching_fj == pytest.approx(square * (0.5 * loads[1] + 0.5 * loads[5] + 0.2 * loads[6]))
    nand = next(e for e in gate.pins["Y"].energies if e.related == "A")
    inside = 0.5 * nand.per_toggle(0, loads[5])  # only A toggles, so only its table counts
    inside += 0.2 * flip_flop.pins["Q"].energies[0].per_toggle(0, 10.0)
    inside += 0.5 * flip_flop.pins["D"].energies[0].per_toggle(timing.slews_ps[5], 0)
    assert energy.internal_fj == pytest.approx(inside)
    clock = flip_flop.pins["CLK"]
    assert energy.clock_fj == pytest.approx(2 * (clock.energies[0].per_toggle(0, 0) + square * clock.mean_capacitance))
    assert energy.leakage_nw == pytest.approx(gate.leakage_nw + flip_flop.leakage_nw)
    assert energy.total_fj(1000) == pytest.approx(energy.dynamic_fj + energy.leakage_nw * 1e-3)


def test_toggles_are_those_of_the_outputs() -> None:
    """Toggles of a combinational circuit equal those counted at its inputs and outputs, and those of Verilator."""
    library, design = osu018(), create_design("int-to-fp16", bits=8)
    netlist = map_design(design, library, 20_000, "area")
    simulator, verilator = NetlistSimulator(netlist), GateSimulator(netlist)
    values = {"value": [3, -100, 127, 0, 0, 5], "exponent": [0, 1, 2, 3, 3, -4]}
    outputs = simulator.run_vectors(values, ["half", "saturated"])
    assert outputs == compile_design(design, "cxxrtl").run_vectors(values, ["half", "saturated"])
    assert verilator.run_vectors(values, ["half", "saturated"]) == outputs
    assert simulator.cycles() == verilator.cycles() == 5
    toggles = simulator.toggles()
    assert toggles == verilator.toggles()
    for port in netlist.ports:
        words = values.get(port.name) or outputs[port.name]
        for bit, net in enumerate(port.nets):
            if isinstance(net, int):
                bits = [word >> bit & 1 for word in words]
                expected = sum(left != right for left, right in pairwise(bits))
                assert toggles[net] == expected, (port.name, bit)


def test_the_kernel_is_verilator_toggle_by_toggle() -> None:
    """Circuit with registers, streams, back-pressure and bubbles."""
    design = create_design("anda-pe", lanes=8)
    netlist = map_design(design, osu018(), 20_000, "area")
    (stimulus,) = stimuli(design, operands(), [5])
    pauses = {"activation": [True, False, False], "result": [False, True, True, False, True]}
    machines = NetlistSimulator(netlist), GateSimulator(netlist)
    runs = [machine.run_streams(stimulus.inputs, stimulus.outputs, [], pauses) for machine in machines]
    assert runs[0].transfers == runs[1].transfers
    assert machines[0].toggles() == machines[1].toggles()
    assert machines[0].cycles() == machines[1].cycles()


def test_a_netlist_that_stops_short() -> None:
    kernel = NetlistSimulator(map_design(create_design("anda-pe", lanes=8), osu018(), 20_000, "area"))
    with pytest.raises(StalledError, match="nothing moved since cycle 0"):
        kernel.run_streams({"weights": [1]}, {"result": 1}, [], {})


def test_allowances(document: dict) -> None:
    both = with_allowances(document, ["wires"])
    for plain, scaled in zip(document["runs"], both["runs"], strict=True):
        assert scaled["switching_pj_per_cycle"] == pytest.approx(1.5 * plain["switching_pj_per_cycle"], rel=1e-5)
        assert scaled["leakage_mw"] == plain["leakage_mw"]
        for field in ("power_mw", "energy_pj_per_cycle", "zero_delay_energy_pj_per_cycle"):
            assert scaled[field] == pytest.approx(1.5 * plain[field], rel=1e-3)
    assert both["not_included"] == "clock tree is not in it"
    assert all(entry["source"] for entry in both["allowances"].values())
    assert with_allowances(document, [])["runs"] == document["runs"]
    with pytest.raises(InputError) as caught:
        with_allowances(document, ["clock-tree"])
    assert re.match("allowance: 'clock-tree' .* wires$", str(caught.value))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("DFFPOSX1", "DFFNEGX1", "DFFSR"), "liberty: osu018_stdcells has no usable flip-flop"),
        (("BUFX2", "BUFX4", "CLKBUF1", "CLKBUF2", "CLKBUF3"), "liberty: osu018_stdcells has no usable buffer"),
    ],
)  # fmt: skip
def test_a_library_without_a_class_of_cells(tmp_path: Path, cells: tuple[str, ...], message: str) -> None:
    library = find_library([without(tmp_path, *cells)])
    with pytest.raises(InputError) as caught:
        synthesize("anda-pe", {"lanes": 8}, library, 20_000, operands(), [4])
    assert str(caught.value).startswith(message)


def test_asynchronous_resets_are_refused() -> None:
    from amaranth.hdl import ClockDomain, Module
    from amaranth.lib import wiring
    from amaranth.lib.wiring import In, Out

    class Asynchronous(wiring.Component):
        clock: In(1)
        reset: In(1)
        x: In(1)
        y: Out(1)

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.domains.own = own = ClockDomain(async_reset=True)
            m.d.comb += [own.clk.eq(self.clock), own.rst.eq(self.reset)]
            m.d.own += self.y.eq(self.x)
            return m

    with pytest.raises(InputError) as caught:
        map_design(Asynchronous(), osu018(), 20_000, "area")
    assert str(caught.value).startswith("design: needs asynchronous resets (DFFSR)")


def test_a_part_without_counterpart() -> None:
    library = osu018()
    cells = {"u0": {"type": "$_DLATCH_P_", "connections": {}}, "u1": {"type": "INVX1", "connections": {"A": [1]}}}
    netlist = json.dumps({"modules": {"top": {"ports": {}, "cells": cells}}})
    with pytest.raises(InputError) as caught:
        read_netlist(netlist, "top", library)
    assert re.match(r"design: 1 cells of type \$_DLATCH_P_ .* osu018_stdcells; ", str(caught.value))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_library([tmp_path])
    assert str(caught.value).startswith(f"liberty: the folder {tmp_path} has no .lib")


def test_held_operands_leave_a_free_running_circuit_toggling() -> None:
    """A flip-flop that takes its own complement toggles in every cycle; with its own value it does not."""
    library = osu018()
    flip_flop, inverter = library.cell("DFFPOSX1"), library.cell("INVX1")
    ports = [NetlistPort("clk", True, [1]), NetlistPort("rst", True, [2]), NetlistPort("q", False, [3])]
    toggles: list[int] = []
    for back in (4, 3):
        gates = [Instance("u0", inverter, {"A": 3, "Y": 4}), Instance("u1", flip_flop, {"D": back, "CLK": 1, "Q": 3})]
        simulator = NetlistSimulator(Netlist(ports, gates, library))
        simulator.hold(10, 100)
        assert simulator.cycles() == 100
        toggles.append(simulator.toggles()[3])
    assert toggles == [100, 0]

"""Internal energy of input pins and leakage by state, calculated by hand for a tiny library."""

from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl.synthesis import CellLibrary
from anda_codesign.rtl.synthesis.netlist.netlist import Instance, Netlist, NetlistPort
from anda_codesign.rtl.synthesis.netlist.power import Activity, CycleEnergy, EnergyModel
from anda_codesign.rtl.synthesis.netlist.simulator import NetlistSimulator
from anda_codesign.rtl.synthesis.netlist.timing import analyze_timing

TEXT = """
library (tiny) {
  nom_voltage : 1;
  capacitive_load_unit (1, ff);
  leakage_power_unit : "1nW";
  time_unit : "1ps";
  cell (AND) {
    area : 1;
    cell_leakage_power : 9;
    leakage_power () { value : 1; when : "!A * !B"; }
    leakage_power () { value : 2; when : "A * !B"; }
    leakage_power () { value : 5; when : "A * B * Y"; }
    pin (A) {
      direction : input;
      internal_power () { when : "%s"; rise_power (scalar) { values ("7"); } fall_power (scalar) { values ("1"); } }
      internal_power () { when : "B * !Y"; power (scalar) { values ("1000"); } }
    }
    pin (B) { direction : input; internal_power () { power (scalar) { values ("10"); } } }
    pin (Y) { direction : output; function : "A * B"; }
  }
  cell (FF) {
    area : 1;
    leakage_power () { value : 2; when : "CK * Q"; }
    leakage_power () { value : 4; when : "!CK * Q"; }
    leakage_power () { value : 6; }
    ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
    pin (CK) { direction : input; clock : true; internal_power () { when : "D * !Q"; power (scalar) { values ("8"); } } }
    pin (D) { direction : input; internal_power () { when : "CK"; power (scalar) { values ("3"); } } }
    pin (Q) { direction : output; function : "IQ"; }
  }
}
"""


def measured(folder: Path, cell: str, pins: dict[str, int], inputs: dict[str, int], activity: Activity) -> CycleEnergy:
    """Energy of one cell with these nets at its pins."""
    path = folder / "tiny.lib"
    path.write_text(TEXT % "!B")
    library = CellLibrary([path])
    ports = [NetlistPort(name, True, [net]) for name, net in inputs.items()]
    netlist = Netlist(ports, [Instance("u0", library.cell(cell), pins)], library)
    return EnergyModel(netlist, analyze_timing(netlist, 0.0)).cycle_energy(activity)


def test_input_pins_of_logic(tmp_path: Path) -> None:
    """A takes (7 + 1) / 2 fJ a toggle while B is low; while B is high, Y follows, and B * !Y does not last."""
    states = np.array([10, 20, 30, 40])  # cycles with A, B = 00, 01, 10, 11
    activity = Activity({1: 50, 2: 20, 3: 0}, 100, {}, states)
    energy = measured(tmp_path, "AND", {"A": 1, "B": 2, "Y": 3}, {"a": 1, "b": 2}, activity)
    assert energy.internal_fj == pytest.approx(0.5 * 4 * 0.4 + 0.2 * 10)
    assert energy.leakage_nw == pytest.approx(0.1 * 1 + 0.2 * 9 + 0.3 * 2 + 0.4 * 5)  # A = 0, B = 1 is not listed
    alike = measured(tmp_path, "AND", {"A": 1, "B": 2, "Y": 3}, {"a": 1, "b": 2}, Activity({1: 50, 2: 20}, 100))
    assert alike.internal_fj == pytest.approx(0.5 * 4 * 0.5 + 0.2 * 10)
    assert alike.leakage_nw == pytest.approx((1 + 9 + 2 + 5) / 4)


def test_input_pins_of_a_flip_flop(tmp_path: Path) -> None:
    """The clock is high half of the time."""
    states = np.array([10, 20, 30, 40])  # cycles with D, Q = 00, 01, 10, 11
    activity = Activity({1: 50, 2: 30}, 100, {}, states)
    energy = measured(tmp_path, "FF", {"D": 1, "CK": 0, "Q": 2}, {"d": 1, "clk": 0}, activity)
    assert energy.internal_fj == pytest.approx(0.5 * 3 / 2)
    assert energy.clock_fj == pytest.approx(2 * 8 * 0.3)
    assert energy.leakage_nw == pytest.approx(0.6 * (2 + 4) / 2 + 0.4 * 6)


def test_the_simulator_counts_states(tmp_path: Path) -> None:
    (tmp_path / "tiny.lib").write_text(TEXT % "!B")
    library = CellLibrary([tmp_path / "tiny.lib"])
    ports = [NetlistPort("a", True, [1]), NetlistPort("b", True, [2]), NetlistPort("y", False, [3])]
    netlist = Netlist(ports, [Instance("u0", library.cell("AND"), {"A": 1, "B": 2, "Y": 3})], library)
    simulator = NetlistSimulator(netlist)
    simulator.run_vectors({"a": [0, 1, 1, 0, 1], "b": [0, 0, 1, 1, 0]}, ["y"])
    activity = simulator.activity()
    assert activity.states is not None and activity.states.tolist() == [0, 1, 2, 1]  # the first row begins the count
    assert activity.toggles == {1: 3, 2: 2, 3: 2} and activity.cycles == 4


def test_a_condition_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "tiny.lib").write_text(TEXT % "B *")
    library = CellLibrary([tmp_path / "tiny.lib"])
    netlist = Netlist([NetlistPort("a", True, [1])], [Instance("u0", library.cell("AND"), {"A": 1, "Y": 3})], library)
    with pytest.raises(InputError, match=r"liberty: 'B \*' is not a Boolean function"):
        EnergyModel(netlist, analyze_timing(netlist, 0.0))

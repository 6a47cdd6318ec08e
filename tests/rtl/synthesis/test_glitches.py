"""Simulation of netlists with delays: by hand, against a plain event queue, and against Icarus Verilog."""

from pathlib import Path

import numpy as np
import pytest
from anda_codesign.rtl import create_design
from anda_codesign.rtl.synthesis import synthesize
from anda_codesign.rtl.synthesis.delay_models import compare_delay_models
from anda_codesign.rtl.synthesis.flow import map_design, output_load_ff
from anda_codesign.rtl.synthesis.netlist.glitches import DelayModel, GlitchSimulator
from anda_codesign.rtl.synthesis.netlist.netlist import Instance, Netlist, NetlistPort
from anda_codesign.rtl.synthesis.netlist.simulator import NetlistSimulator
from anda_codesign.rtl.synthesis.netlist.timing import Timing, analyze_timing
from anda_codesign.rtl.synthesis.stimuli.registry import stimuli

from .event_simulators import icarus_toggles, plain_toggles
from .synthesis_cases import operands, osu018

pytestmark = [pytest.mark.osu018]


def replayed(name: str, **parameters: object) -> tuple[NetlistSimulator, Timing]:
    """Simulator of a mapped circuit after a run, and the circuit's timing."""
    library, design = osu018(), create_design(name, **parameters)
    netlist = map_design(design, library, 20_000, "area")
    simulator = NetlistSimulator(netlist)
    if name == "anda-pe":
        (run,) = stimuli(design, operands(groups=4), [5])
        simulator.run_streams(run.inputs, run.outputs, [], {"result": [False, True, False]})
    else:
        rng = np.random.default_rng(3)
        values = {
            port.name: rng.integers(0, 1 << len(port.nets), 40).tolist() for port in netlist.ports if port.is_input
        }
        simulator.run_vectors(values, [port.name for port in netlist.ports if not port.is_input])
    return simulator, analyze_timing(netlist, output_load_ff(library))


def hazard() -> NetlistSimulator:
    """y = a and not a, through one inverter or three: a pulse of one inverter's delay, or of three."""
    library = osu018()
    inverter, gate = library.cell("INVX1"), library.cell("AND2X2")
    ports = [NetlistPort("a", True, [0]), NetlistPort("y", False, [4])]
    chain = [Instance(f"u{i}", inverter, {"A": i, "Y": i + 1}) for i in range(3)]
    both = Instance("u3", gate, {"A": 0, "B": 3, "Y": 4})
    simulator = NetlistSimulator(Netlist(ports, [*chain, both], library))
    simulator.run_vectors({"a": [0, 1, 0, 1]}, ["y"])
    return simulator


@pytest.mark.parametrize(
    ("model", "scale", "pulses"), [("transport", 1.0, 2), ("inertial", 9.0, 2), ("inertial", 0.1, 0)]
)
def test_a_pulse_by_hand(model: DelayModel, scale: float, pulses: int) -> None:
    """Both rising edges of a make y pulse, unless the pulse of the inverters is shorter than the delay of the gate."""
    simulator = hazard()
    timing = analyze_timing(simulator.netlist, 10.0)
    found = GlitchSimulator(simulator, timing, model=model, scale={1: scale, 2: scale, 3: scale, 4: 1.0}).toggles()
    assert simulator.toggles() == {0: 3, 1: 3, 2: 3, 3: 3, 4: 0}
    assert found == {0: 3, 1: 3, 2: 3, 3: 3, 4: 2 * pulses}


@pytest.mark.parametrize("model", ["inertial", "transport"])
@pytest.mark.parametrize("name", ["anda-pe", "int-to-fp16"])
def test_the_kernel_is_a_plain_queue_of_events(name: str, model: DelayModel) -> None:
    simulator, timing = replayed(name, **({"lanes": 8} if name == "anda-pe" else {"bits": 8}))
    delays = GlitchSimulator(simulator, timing, model=model)
    found = delays.toggles()
    assert found == plain_toggles(simulator, delays, is_transport=model == "transport")
    settled = simulator.toggles()
    assert all(found[net] >= count and (found[net] - count) % 2 == 0 for net, count in settled.items())
    assert sum(found.values()) > 1.2 * sum(settled.values())


@pytest.mark.tool("iverilog")
@pytest.mark.parametrize("name", ["anda-pe", "int-to-fp16"])
def test_inertial_delays_are_those_of_icarus(name: str, tmp_path: Path) -> None:
    """Every net toggles as often as in Icarus Verilog with module paths and the same delays in an SDF file."""
    simulator, timing = replayed(name, **({"lanes": 8} if name == "anda-pe" else {"bits": 8}))
    delays = GlitchSimulator(simulator, timing)
    assert delays.toggles() == icarus_toggles(simulator, delays, tmp_path)


def test_energies_by_model_of_delay() -> None:
    design = create_design("anda-pe", lanes=8)
    (found,) = compare_delay_models(design, stimuli(design, operands(), [4]), osu018(), 20_000)
    (run,) = synthesize("anda-pe", {"lanes": 8}, osu018(), 20_000, operands(), [4])["runs"]
    assert found.inertial_pj == pytest.approx(run["energy_pj_per_operation"], rel=1e-5)
    assert found.zero_delay_pj == pytest.approx(run["zero_delay_energy_pj_per_operation"], rel=1e-5)
    assert found.inertial_toggles == pytest.approx(run["toggles_per_net_and_cycle"], rel=1e-5)
    assert found.zero_delay_pj < found.inertial_pj < found.transport_pj
    for scaled in (found.faster_pj, found.slower_pj):  # time itself is scaled, but for rounding to a tick
        assert scaled == pytest.approx(found.inertial_pj, rel=5e-3)
    assert found.varied_pj == pytest.approx(found.inertial_pj, rel=0.1) and found.varied_pj != found.inertial_pj

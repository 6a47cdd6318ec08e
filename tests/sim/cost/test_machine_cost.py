from anda_codesign.sim import load_architecture, load_technology, simulate
from anda_codesign.sim.cost.machine_cost import MachineCost
from anda_codesign.sim.cost.objective import MAPPING_OBJECTIVES
from anda_codesign.workloads import Precision, gemms, model_shape
from hypothesis import given, settings
from hypothesis import strategies as st
from small_work import precisions

WORK = gemms(model_shape("SmolLM2-135M"), tokens=256)


@settings(max_examples=10)
@given(st.lists(precisions, min_size=1, max_size=5))
def test_prepared_costs_are_those_of_a_simulation(precisions: list[Precision]):
    for name in ("anda", "fp-fp"):
        machine, technology = load_architecture(name), load_technology("cacti-16nm")
        for objective in MAPPING_OBJECTIVES:
            cost = MachineCost(machine, technology, objective)
            for precision in precisions:
                expected = simulate(WORK, machine, precision, technology=technology, objective=objective)
                found = cost.total(WORK, precision)
                assert (found.cycles, found.energy_pj) == (expected.cycles, expected.energy_pj)

import math
from pathlib import Path

import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture, load_technology, simulate_model, technology_names
from anda_codesign.sim.cost.energy import sram_pj_per_bit, unit_costs
from anda_codesign.workloads import Precision, gemms, model_shape
from cases import each

FOLDER = Path(__file__).parents[3] / "sim" / "technology"


def constants(node: object):
    """Every constant of a technology file: the mappings that hold a value."""
    if isinstance(node, dict):
        if "value" in node:
            yield node
        for child in node.values():
            yield from constants(child)


@each("name", technology_names())
def test_every_constant_can_be_traced(name: str):
    found = list(constants(yaml.safe_load((FOLDER / f"{name}.yaml").read_text())))
    assert found
    for constant in found:
        assert set(constant) == {"value", "unit", "node", "source", "uncertainty"}
        assert len(constant["source"]) > 5


def test_reference_run_is_the_one_of_table_3():
    """Cycles per group of LLaMA-13B at [7, 5, 6, 6]: the MAC-weighted M + 1."""
    work = gemms(model_shape("LLaMA-13B"))
    precision = Precision(7, 5, 6, 6)
    cycles = sum(g.total_macs * (getattr(precision, g.module) + 1) for g in work) / sum(g.total_macs for g in work)
    assert load_technology().reference.cycles_per_group.value == pytest.approx(cycles, abs=5e-4)


def test_energies_follow_from_the_published_powers():
    technology, anda = load_technology(), load_architecture("anda")
    costs = unit_costs(anda, technology)
    assert costs.array_pj_per_cycle == pytest.approx(54.34e-3 / 285e6 * 1e12)
    assert sum(costs.support_pj_per_cycle.values()) == pytest.approx((1.06 + 0.87 + 0.01) * 1e-3 / 285e6 * 1e12)
    bits_per_cycle = (16 * (64 * 7.165 + 5) + 16 * (64 * 4 + 8)) / 7.165
    assert costs.sram.activation_read_pj_per_bit == pytest.approx((16.94 + 7.96) * 1e-3 / 285e6 * 1e12 / bits_per_cycle)
    assert costs.dram_pj_per_bit == 3.9
    assert costs.dram_bits_per_cycle == pytest.approx(256e9 * 8 / 285e6)


def test_one_figure_per_bit_lies_between_those_of_the_two_buffers():
    technology, anda = load_technology(), load_architecture("anda")
    cycles = technology.reference.cycles_per_group.value
    activations = 16.94e9 / 285e6 / (16 * (64 * cycles + 5) / cycles)
    weights = 7.96e9 / 285e6 / (16 * (64 * 4 + 8) / cycles)
    assert (round(activations, 3), round(weights, 3)) == (0.057, 0.047)
    assert weights < sram_pj_per_bit(technology, anda) < activations


def test_array_area_scales_with_the_element():
    areas = {name: unit_costs(load_architecture(name), load_technology()).area_mm2 for name in architecture_names()}
    assert areas["anda"]["array"] == pytest.approx(0.41)
    assert areas["fp-fp"]["array"] == pytest.approx(0.41 / 0.23)
    assert areas["figna"]["array"] == pytest.approx(0.41 / 0.23 * 0.18)
    assert areas["anda"]["compressor"] == pytest.approx(0.07)
    assert areas["fp-fp"]["compressor"] == 0
    for parts in areas.values():
        assert parts["activation_buffer"] == pytest.approx(0.87)
        assert parts["weight_buffer"] == pytest.approx(0.80)


def test_bandwidth_can_be_replaced():
    fast = load_technology().with_bandwidth(math.inf)
    assert unit_costs(load_architecture("anda"), fast).dram_bits_per_cycle == math.inf
    assert load_technology().dram.bandwidth.value == 256
    for wrong in (0, -1, math.nan):
        with pytest.raises(InputError, match=f"^dram.bandwidth: is {wrong} GB/s"):
            fast.with_bandwidth(wrong)


def edited(folder: Path, path: tuple[str, ...], value: object) -> Path:
    data = yaml.safe_load((FOLDER / "paper-16nm.yaml").read_text())
    node = data
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    target = folder / "mine.yaml"
    target.write_text(yaml.safe_dump(data))
    return target


def test_bad_files_name_file_field_and_fix(tmp_path: Path):
    cases = (
        (("dram", "bandwidth", "value"), 0, "dram.bandwidth.value: is 0"),
        (("dram", "bandwidth", "value"), float("inf"), "dram.bandwidth.value: is inf; .* finite"),
        (("dram", "bandwidth", "value"), float("nan"), "dram.bandwidth.value: is nan; .* finite"),
        (("dram", "bandwidth", "value"), True, "dram.bandwidth.value: is True; .* number"),
        (("dram", "bandwidth", "value"), "100", "dram.bandwidth.value: is '100'; .* number"),
        (("dram", "bandwidth", "unit"), ..., "dram.bandwidth.unit: is missing"),
        (("dram", "bandwidth", "unit"), "GiB/s", "dram.bandwidth: unit is 'GiB/s'; .* GB/s"),
        (("array", "power", "unit"), "W", "array.power: unit is 'W'; .* mW"),
        (("elements", "anda", "leakage"), 1, "elements.anda.leakage: .* area, power"),
        (("dram", "energy", "sauce"), "x", "dram.energy.sauce: .* node, source, uncertainty, unit, value"),
    )
    for path, value, expected in cases:
        with pytest.raises(InputError, match=f"^technology mine.yaml: {expected}"):
            load_technology(edited(tmp_path, path, value))


def test_unknown_names():
    with pytest.raises(InputError, match=r"^technology: '7nm' .*asap7, cacti-16nm, osu018, paper-16nm, sky130"):
        load_technology("7nm")
    kinds = "fp-fp, fp-int, ifpu, figna, figna-m11, figna-m8, anda"
    with pytest.raises(InputError, match=f"^processing_element.kind: 'systolic' .*paper-16nm.* {kinds}"):
        load_technology().element("systolic")


def test_an_operation_without_an_energy():
    technology = load_technology().model_copy(update={"vector_operations": {}})
    with pytest.raises(InputError, match=r"^vector_operations: .*'fp16'"):
        simulate_model(model_shape("OPT-125M"), "anda", Precision.uniform(7), tokens=2, technology=technology)

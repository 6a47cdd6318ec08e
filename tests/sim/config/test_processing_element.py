"""Elements that architecture files state themselves, and files that extend others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.formats.plugins import load_plugins, loaded_plugins
from anda_codesign.sim import Settings, architecture_names, load_architecture, load_technology, prepare, run_gemms
from anda_codesign.sim.config.architecture import Architecture
from anda_codesign.sim.cost.element_costs import baseline_pj_per_cycle, element_ratios
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.workloads import Gemm, Precision
from cases import each

from anda_codesign import register

M6 = Precision.uniform(6)
GEMM = Gemm("qkv", 40, 512, 384)
ELEMENT: dict[str, Any] = {
    "kind": "mine",
    "lanes": 64,
    "cycles_per_group": "ceil(mantissa_bits / 2)",
    "weight_operand": "int",
    "mantissa_bits": 8,
    "energy_per_cycle": {"relative_to": "figna", "value": 0.5},
}
ABSOLUTE = {"node": "16 nm, 0.8 V", "source": "a layout"}


def machine(folder: Path, base: str = "figna", **element: Any) -> Architecture:
    """An architecture with the element of `ELEMENT` and some keys changed; a key set to ... is left out."""
    facts = {key: value for key, value in (ELEMENT | element).items() if value is not ...}
    path = folder / "machine.yaml"
    path.write_text(yaml.safe_dump({"base": base, "processing_element": facts}))
    return load_architecture(path)


def refusal(call: Any) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@each("name", architecture_names())
def test_a_renamed_element_costs_the_same(name: str, tmp_path: Path):
    """Nothing hangs on the element's name: relative to the named one it has the same cycles, energy and area."""
    original = load_architecture(name)
    facts = original.processing_element.model_dump(exclude_none=True) | {"kind": "renamed"}
    same = {"relative_to": original.processing_element.kind, "value": 1.0}
    amounts = ("area", "energy_per_cycle", "idle_energy_per_cycle", "gated_energy_per_cycle")
    path = tmp_path / "renamed.yaml"
    path.write_text(yaml.safe_dump({"base": name, "processing_element": facts | dict.fromkeys(amounts, same)}))
    renamed = load_architecture(path)
    assert (renamed.name, renamed.title) == ("renamed", f"{original.title}, changed by renamed.yaml")
    first, second = (run_gemms([GEMM], prepare(found, Settings()), M6) for found in (original, renamed))
    assert first.to_dict() == second.to_dict()


def test_cycles_follow_the_formula(tmp_path: Path):
    element = machine(tmp_path, cycles_per_group="mantissa_bits + weight_bits + group_size / 64", weight_bits=8)
    assert element.processing_element.element_cycles(8) == 8 + 8 + 1
    assert element.array_cycles_per_group(8) == 8 + 4 + 1  # of INT4 weights
    assert element.element_cycles_per_group(8) == 8 + 4 + 1
    serial = machine(tmp_path, cycles_per_group="mantissa_bits * weight_bits", weight_bits=1)
    assert serial.element_cycles_per_group(8) == 8 * 4
    assert machine(tmp_path, cycles_per_group=3).processing_element.working_cycles(8) == 3


def test_absolute_amounts_are_those_of_one_element(tmp_path: Path):
    own = machine(
        tmp_path, **ABSOLUTE, area={"value": 1500, "unit": "um^2"}, energy_per_cycle={"value": 2, "unit": "pJ"},
        idle_energy_per_cycle={"value": 400, "unit": "fJ"}, gated_energy_per_cycle={"value": 3, "unit": "uW", "clock": "3 MHz"},
    )  # fmt: skip
    for name in ("paper-16nm", "cacti-16nm"):
        costs = unit_costs(own, load_technology(name))
        assert costs.area_mm2["array"] == pytest.approx(256 * 1500e-6)
        assert costs.array_pj_per_cycle == pytest.approx(256 * 2)
        assert costs.idle.elements == pytest.approx(0.2)
        assert unit_costs(own, load_technology(name), clock_gating=True).idle.elements == pytest.approx(0.5)


def test_relative_amounts_are_ratios_of_elements_with_equal_lanes(tmp_path: Path):
    technology, fp_fp = load_technology("asap7"), load_architecture("fp-fp")
    half = {"relative_to": "fp-fp", "value": 0.5}
    own = machine(tmp_path, "fp-fp", area=half, energy_per_cycle=half, lanes=32)
    costs, theirs = (unit_costs(found, technology) for found in (own, fp_fp))
    assert costs.area_mm2["array"] == pytest.approx(theirs.area_mm2["array"] / 4)
    assert costs.array_pj_per_cycle == pytest.approx(theirs.array_pj_per_cycle / 4)


def test_an_unknown_area_is_blank_and_noted(tmp_path: Path):
    result = run_gemms([GEMM], prepare(machine(tmp_path), Settings()), M6)
    assert np.isnan(result.area_mm2)
    assert result.to_dict()["area_mm2"] is None
    assert any(note.startswith("area: neither mine nor technology paper-16nm") for note in result.costs.notes)


def test_facts_of_the_technology_fill_what_an_element_leaves_out(tmp_path: Path):
    ratios = element_ratios(machine(tmp_path, kind="figna"), load_technology())
    assert ratios.area == load_technology().element("figna").area
    assert ratios.power.value == 0.5 * load_technology().element("figna").power.value


def test_an_element_may_be_a_file_or_a_registered_class(tmp_path: Path):
    class Mine:
        name = "mine"
        source = "this test"
        lanes, weight_operand, mantissa_bits = 64, "int", 8
        cycles_per_group = ELEMENT["cycles_per_group"]
        energy_per_cycle = ELEMENT["energy_per_cycle"]

    before, path, arch = loaded_plugins(), tmp_path / "pe.yaml", tmp_path / "arch.yaml"
    path.write_text(yaml.safe_dump({"processing_element": ELEMENT | {"source": "this test"}}))
    arch.write_text(yaml.safe_dump({"base": "figna", "processing_element": str(path)}))
    from_file = load_architecture(arch).processing_element
    path.write_text(yaml.safe_dump(ELEMENT | {"source": "this test"}))
    assert load_architecture(arch).processing_element == from_file
    try:
        register(Mine)
        arch.write_text(yaml.safe_dump({"base": "figna", "processing_element": "mine"}))
        assert load_architecture(arch).processing_element == from_file
    finally:
        load_plugins(before)
    assert refusal(lambda: load_architecture(arch)) == (
        "architecture arch.yaml: processing_element: processing_element: 'mine' is no YAML file and not registered; name a "
        "file, or register one with --plugin FILE"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cycles_per_group": "mantissas + 1"}, "cycles_per_group: 'mantissas' is unknown; use mantissa_bits, weight_bits"),
        ({"cycles_per_group": "8 / (mantissa_bits - 8)"}, "cycles_per_group: '8 / (mantissa_bits - 8)' is inf at mantissa_bits"),
        ({"cycles_per_group": "mantissa_bits / 3"}, "cycles_per_group: 'mantissa_bits / 3' is 2.66667 at mantissa_bits 8"),
        ({"cycles_per_group": "8 - mantissa_bits"}, "cycles_per_group: '8 - mantissa_bits' is 0 at"),
        ({"cycles_per_group": "weight_bits - 1"}, "cycles_per_group: 'weight_bits - 1' is 0 at mantissa_bits 8, weight_bits 1"),
        ({"cycles_per_group": "2 **"}, "cycles_per_group: '2 **' is not a formula"),
        ({"cycles_per_group": "open('x')"}, "cycles_per_group: \"open('x')\" is not allowed in a formula"),
        ({"cycles_per_group": "mantissa_bits < 3"}, "cycles_per_group: 'mantissa_bits < 3' is a condition"),
        ({"cycles_per_group": "'8'"}, "cycles_per_group: \"'8'\" is a text"),
        ({"cycles_per_group": ...}, "cycles_per_group: give a formula here, or a timing"),
        ({"timing": "fp16-rate"}, "cycles_per_group: give a formula here, or a timing"),
        ({"area": {"value": 3}}, "area: unit: is missing; give the value in um^2 or mm^2, or relative_to an element"),
        ({"area": {"value": 3, "unit": "pJ"}}, "area: unit: is 'pJ'; give the value in um^2 or mm^2"),
        ({"area": {"value": 3, "unit": "um^2"}}, "area.node: is missing; add it here or as node of the element"),
        ({"area": {"value": 0, "relative_to": "figna"}}, "area.value: is 0; input should be greater than"),
        ({"area": {"value": 3, "relative_to": "figna", "unit": "um^2"}}, "area: unit: a value relative to figna is a ratio"),
        ({"energy_per_cycle": {"value": 3, "unit": "mW"}}, "energy_per_cycle: clock: a power in uW or mW needs the clock"),
        ({"arithmetic": {"formats": "fp16"}}, "arithmetic.formats: is not a key here; the keys are format, partial"),
        ({"arithmetic": {"partial": "fp8"}}, "arithmetic.partial: is 'fp8'"),
        ({"arithmetic": "os:system"}, "arithmetic: format: 'os:system' names a module, and data files run no code"),
        ({"arithmetic": "none"}, "arithmetic: format: 'none' is not valid; choose one of fp16"),
        ({"arithmetic": "figna mantissa_bits=99"}, "arithmetic: format: figna: mantissa_bits: 99 is not valid"),
        ({"lanes": 64.0}, "lanes: is 64.0; input should be a valid integer"),
        ({"kind": "a\nb"}, "kind: is 'a\\nb'; string should match pattern"),
    ],
)  # fmt: skip
def test_bad_elements(changes: dict[str, Any], message: str, tmp_path: Path):
    found = refusal(lambda: machine(tmp_path, **changes)).removeprefix("architecture machine.yaml: processing_element")
    assert found.lstrip(":. ").startswith(message)


def test_bad_elements_of_a_technology(tmp_path: Path):
    def costs(**element: Any) -> str:
        return refusal(lambda: unit_costs(machine(tmp_path, **element), load_technology()))

    assert costs(energy_per_cycle=..., area={"value": 1, "relative_to": "figna"}).startswith(
        "processing_element.energy_per_cycle: mine states none and technology paper-16nm has no element of that kind"
    )
    assert costs(energy_per_cycle=...).startswith(
        "processing_element.kind: 'mine' is not in technology paper-16nm; choose"
    )
    assert costs(area={"value": 1, "relative_to": "fast"}).startswith(
        "processing_element.area.relative_to: 'fast' is not in"
    )
    assert costs(**ABSOLUTE | {"node": "7 nm"}, area={"value": 1, "unit": "um^2"}) == (
        "processing_element.area.node: is '7 nm', and technology paper-16nm is '16 nm, 0.8 V'; take a technology of that "
        "node, or give the value relative_to an element"
    )


def test_a_technology_may_give_only_what_differs(tmp_path: Path):
    ratio = {"value": 0.25, "unit": "1", "node": "16 nm", "source": "a test", "uncertainty": "none"}
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(yaml.safe_dump({"base": "cacti-16nm", "elements": {"mine": {"area": ratio, "power": ratio}}}))
    second.write_text(
        yaml.safe_dump({"base": str(first), "title": "Mine", "elements": {"mine": {"power": ratio | {"value": 0.5}}}})
    )
    base, found = load_technology("cacti-16nm"), load_technology(second)
    assert (found.name, found.title, found.sram) == ("second", "Mine", base.sram)
    assert {**found.elements, "mine": None} == {**base.elements, "mine": None}
    assert found.element("mine").power.value == 0.5
    assert found.element("mine").area == load_technology(first).element("mine").area
    assert baseline_pj_per_cycle(found, load_architecture("anda")) == baseline_pj_per_cycle(
        base, load_architecture("anda")
    )
    first.write_text(f"base: {second}\n")
    assert refusal(lambda: load_technology(second)).startswith(
        "technology first.yaml: base: second.yaml is its own base"
    )
    first.write_text("base: paper-7nm\n")
    assert refusal(lambda: load_technology(second)).startswith(
        "technology first.yaml: base: 'paper-7nm' is unknown; choose one of"
    )

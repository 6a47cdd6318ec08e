"""Writes sim/technology/asap7.yaml, sky130.yaml and osu018.yaml from the results of synthesis and the memory table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from anda_codesign.experiments.synthesis.elements import Circuit, element_result, elements, skipping_ratios
from anda_codesign.formats.latency.elements import FP16_GROUP_CYCLES, pe_cycles_per_group
from anda_codesign.rtl.synthesis.results import SynthesisResult, find_idle, find_result, provenance
from anda_codesign.sim import load_architecture, load_technology

FOLDER = Path(__file__).parents[1] / "sim" / "technology"
CLOCK_PS = 3508.0
CHANNELS = 5120
"""Input channels of LLaMA-13B's GeMMs except the last: an output takes the cycles of all their groups."""

NO_WIRES = "no wires, clock tree" + (", glitches" if "glitches" in provenance()["not_included"] else "")


@dataclass(frozen=True)
class Memory:
    """Factors of a memory at a node over CACTI's 22 nm."""

    area: float
    energy: float
    leakage: float
    source: str
    uncertainty: str


@dataclass(frozen=True)
class Node:
    """Node of a library, and the scaling of memories to it."""

    title: str
    node: str
    memory: Memory


BELOW = "rule of hwcomponents-cacti 1.0.40 below 22 nm: area linear, energy with the root, leakage 0.79 times that"
ABOVE = "constant-field scaling from 22 nm: area with the square of the length, energy with length and squared voltage"


def above(length_nm: float, volts: float) -> Memory:
    shrink, squared = length_nm / 22, (volts / 0.8) ** 2
    return Memory(shrink**2, shrink * squared, 1.0, ABOVE, "CACTI has no such node; a factor of 2 or more either way")


NODES = {
    "asap7": Node(
        "ASAP7, predictive 7 nm, 0.70 V, 25 C, typical",
        "7 nm, 0.70 V",
        Memory(7 / 22, (7 / 22) ** 0.5, 0.79 * (7 / 22) ** 0.5, BELOW, "SRAM cells stopped scaling; a lower bound"),
    ),
    "sky130": Node("SkyWater sky130_fd_sc_hd, 130 nm, 1.8 V, 25 C, typical", "130 nm, 1.8 V", above(130, 1.8)),
    "osu018": Node("OSU standard cells, 0.18 um, 1.8 V, 25 C, typical", "180 nm, 1.8 V", above(180, 1.8)),
}


def constant(value: float, unit: str, node: str, source: str, uncertainty: str = NO_WIRES) -> dict[str, Any]:
    return {"value": float(f"{value:.4g}"), "unit": unit, "node": node, "source": source, "uncertainty": uncertainty}


def anda_pj_per_cycle(library: str, cycles_per_group: float) -> float:
    """Energy of a cycle of Anda's element, interpolated between the two mantissa lengths around the mean."""
    low = int(cycles_per_group) - 1
    share = cycles_per_group - pe_cycles_per_group(low)
    results = [element_result(library, "Anda", m) for m in (low, low + 1)]
    energies = [at_clock(result) for result in results]
    return energies[0] * (1 - share) + energies[1] * share


def at_clock(result: SynthesisResult) -> float:
    """Energy of a cycle at the machine's clock, even if the library does not meet it."""
    return result.dynamic_pj_per_cycle + result.leakage_mw * CLOCK_PS * 1e-3


def technology(library: str, node: Node) -> dict[str, Any]:
    reference = load_technology("paper-16nm").reference
    machine = load_architecture("anda")
    units = machine.array.rows * machine.array.columns
    cycles = reference.cycles_per_group.value
    table = f"rtl/synthesis/results/{library}.csv"
    anda = element_result(library, "Anda", 6)
    unit_pj = anda_pj_per_cycle(library, cycles)
    values_per_cycle = units / (CHANNELS / 64 * cycles)
    name = described(elements(library)["Anda"])

    def part(area_um2: float, pj_per_cycle: float, source: str) -> dict[str, Any]:
        return {
            "area": constant(area_um2 * 1e-6, "mm^2", node.node, source),
            "power": constant(pj_per_cycle / CLOCK_PS * 1e3, "mW", node.node, source),
        }

    lane = find_result(library, "bpc-lane", "M=6")
    lanes = 16
    lane_pj = lane.energy_pj_per_operation * values_per_cycle + lanes * lane.leakage_mw * CLOCK_PS * 1e-3
    operators = [find_result(library, design, "trace") for design in ("fp16-multiplier", "fp32-adder", "fp32-to-fp16")]
    vector_pj = sum(
        result.energy_pj_per_operation * values_per_cycle + machine.vector_lanes * result.leakage_mw * CLOCK_PS * 1e-3
        for result in operators
    )
    return {
        "name": library,
        "title": node.title,
        "base": "paper-16nm",
        "reference": reference.model_dump(),
        "array": part(
            units * anda.area_um2,
            units * unit_pj,
            f"{table}: {units} x {name} at {cycles} cycles a group; dispatch and output conversion not in it",
        ),
        "compressor": part(
            lanes * lane.area_um2,
            lane_pj,
            f"{table}: {lanes} x bpc-lane at M = 6, {values_per_cycle:.3f} values a cycle ({CHANNELS} channels); packager not in it",
        ),
        "vector_unit": part(
            machine.vector_lanes * sum(result.area_um2 for result in operators),
            vector_pj,
            f"{table}: {machine.vector_lanes} x (fp16-multiplier, fp32-adder, fp32-to-fp16), one pass an output; registers "
            "not in it",
        ),
        **memories(node, cycles),
        "elements": element_ratios(library, node.node, table, unit_pj),
        "skipping": skipping(library, node.node, table),
    }


def memories(node: Node, cycles: float) -> dict[str, Any]:
    """Memory table with the factors of a node, and the two buffers computed from it."""
    memory = node.memory
    base = yaml.safe_load((FOLDER / "cacti-16nm.yaml").read_text("utf-8"))["sram"]
    scales = {
        f"{field}_scale": constant(
            getattr(memory, field), "1", f"22 nm to {node.node}", memory.source, memory.uncertainty
        )
        for field in ("area", "energy", "leakage")
    }
    published = load_technology("cacti-16nm")
    assert published.sram is not None
    table = published.sram.model_copy(
        update={name: published.sram.area_scale.model_copy(update={"value": s["value"]}) for name, s in scales.items()}
    )
    buffers: dict[str, Any] = {}
    bits = {"activation_buffer": 1024.0, "weight_buffer": 4096 / cycles}
    for field, per_cycle in bits.items():
        macro = table.macro(field, 1 << 20, 1024)
        power = macro.read_pj / 1024 * per_cycle / CLOCK_PS * 1e3 + macro.leakage_mw
        source = f"sram-cacti-22nm.csv, {base['device']}, 1 MiB of 1024 bit, scaled; {per_cycle:.0f} bits read a cycle"
        buffers[field] = {
            "area": constant(macro.area_mm2, "mm^2", node.node, source, memory.uncertainty),
            "power": constant(power, "mW", node.node, source, memory.uncertainty),
        }
    return buffers | {"sram": {"table": base["table"], "device": base["device"], **scales}}


def element_ratios(library: str, node: str, table: str, anda_pj: float) -> dict[str, Any]:
    circuits, base = elements(library), element_result(library, "FP-FP")

    def ratios(label: str, area: float, energy: float) -> dict[str, Any]:
        source = f"{table}: {described(circuits[label])} over {described(circuits['FP-FP'])}"
        return {
            "area": constant(area / base.area_um2, "1", node, source),
            "power": constant(energy / at_clock(base), "1", node, source),
            **idle_ratios(library, circuits[label], node),
        }

    found = {
        label.lower(): ratios(label, result.area_um2, at_clock(result))
        for label in circuits
        if label != "Anda"
        for result in [element_result(library, label)]
    }
    return found | {"anda": ratios("Anda", element_result(library, "Anda").area_um2, anda_pj)}


def idle_ratios(library: str, circuit: Circuit, node: str) -> dict[str, Any]:
    """Power of an element with held operands over that of a working cycle, with its clock and without."""
    design, parameters = circuit
    found = find_idle(library, design, **parameters)
    leakage = found.leakage_mw * CLOCK_PS * 1e-3
    working = found.working_pj_per_cycle + leakage
    source = f"rtl/synthesis/results/idle/{library}.csv: {described(circuit)}"
    return {
        "power_idle": constant(
            (found.idle_pj_per_cycle + leakage) / working, "1", node, f"{source}, clock pins and leakage"
        ),
        "power_gated": constant(leakage / working, "1", node, f"{source}, leakage", f"{NO_WIRES}, clock gates"),
    }


def described(circuit: Circuit) -> str:
    design, parameters = circuit
    return " ".join([design, *(f"{name}={value}" for name, value in parameters.items())])


def skipping(library: str, node: str, table: str) -> dict[str, Any]:
    source = f"{table}: anda-pe with and without skipping at M = 6, over {elements(library)['Anda'][0]}"
    ratios = skipping_ratios(library)
    return {field: constant(getattr(ratios, field), "1", node, source) for field in ("area", "power", "plane")}


def main() -> None:
    for library, node in NODES.items():
        origin = provenance()["libraries"][library]["origin"]
        head = (
            f"# Written by scripts/technology_files.py from the results of synthesis. Library: {origin}.\n"
            f"# The controller and the DRAM are those of the base: nothing of them was synthesised. {FP16_GROUP_CYCLES} cycles a\n"
            "# group of 64 are FP-FP's rate, which the ratios of elements are at.\n"
        )
        text = yaml.safe_dump(technology(library, node), sort_keys=False, width=160)
        (FOLDER / f"{library}.yaml").write_text(head + text, "utf-8")


if __name__ == "__main__":
    main()

"""`anda rtl synth module:Class`: elements of a user's own, checked against their software twin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from anda_codesign.experiments.cli import main
from anda_codesign.sim import load_architecture, load_technology
from anda_codesign.sim.cost.energy import unit_costs

from .synthesis_cases import operands

pytestmark = [pytest.mark.osu018]

ELEMENT = """
import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from anda_codesign.formats.latency.elements import Latency
from anda_codesign.rtl.arithmetic.pipeline import Pipeline
from anda_codesign.rtl.simulation.packing import pack_fields


class SumPE(wiring.Component):
    \"\"\"Sums the codes of a group, eight a cycle: a circuit of a few gates, no useful element.\"\"\"

    name, source = "sum-pe", "a test"
    lanes, weight_operand, weight_bits, mantissa_bits = 64, "int", 4, 8
    latency = Latency("group_size / 8")
    arithmetic = None

    def __init__(self):
        step = data.StructLayout({"codes": data.ArrayLayout(signed(4), 8), "last": 1})
        super().__init__({"steps": In(stream.Signature(step)), "sums": Out(stream.Signature(signed(10)))})

    def elaborate(self, platform):
        m = Module()
        pipeline, step = Pipeline(m, self.steps, self.sums), self.steps.payload
        total = Signal(signed(10))
        following = Mux(pipeline.first(step.last), 0, total) + sum(step.codes[i] for i in range(8))
        pipeline.accumulate(total, following[:10], step.last)
        m.d.comb += self.sums.payload.eq(total)
        pipeline.finish()
        return m

    def payloads(self, operands, mantissa_bits):
        codes = operands.codes.reshape(-1, 8)
        return {"steps": pack_fields([(codes, 4), (np.arange(len(codes)) % 8 == 7, 1)])}

    def compute(self, operands, mantissa_bits):
        return {"sums": operands.codes.sum(axis=1, dtype=np.int64)}
"""

Synth = Callable[..., tuple[int, str, str]]


@pytest.fixture
def synth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Synth:
    """Write the element with a change, and synthesise it in the folder of its file."""
    monkeypatch.setattr("anda_codesign.rtl.synthesis.load_operands", lambda _, lanes=64: operands(8, lanes))
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    count = iter(range(100))

    def run(old: str = "", new: str = "", name: str = "SumPE", *options: str) -> tuple[int, str, str]:
        module = f"own_element_{tmp_path.name}_{next(count)}"
        assert old in ELEMENT
        Path(f"{module}.py").write_text(ELEMENT.replace(old, new) if old else ELEMENT)
        status = main(["rtl", "synth", f"{module}:{name}", "--clock-ps", "9000", "--out", "pe.yaml", *options])
        printed = capsys.readouterr()
        lines = [line for line in printed.err.splitlines() if "synthesis in" not in line]
        return status, printed.out, "\n".join(lines).replace(module, "own")

    return run


def test_an_element_becomes_a_block_that_a_machine_reads(synth: Synth):
    status, out, err = synth()
    assert (status, err) == (0, "anda: note: wrote pe.yaml; an architecture takes it as processing_element: pe.yaml")
    assert "sum-pe" in out
    block: dict[str, Any] = yaml.safe_load(Path("pe.yaml").read_text())["processing_element"]
    assert (block["kind"], block["lanes"], block["cycles_per_group"], block["node"]) == (
        "sum-pe", 64, "group_size / 8", "180 nm, 1.8 V",
    )  # fmt: skip
    idle, working = (block[f"{name}energy_per_cycle"]["value"] for name in ("idle_", ""))
    assert 0 < block["gated_energy_per_cycle"]["value"] < idle < working
    Path("machine.yaml").write_text("base: fp-fp\nprocessing_element: pe.yaml\n")
    machine = load_architecture("machine.yaml")
    costs = unit_costs(machine, load_technology("osu018"))
    assert machine.processing_element.element_cycles(8) == 8
    assert costs.area_mm2["array"] == pytest.approx(256 * block["area"]["value"] * 1e-6)
    assert costs.array_pj_per_cycle == pytest.approx(256 * working)


def test_a_netlist_that_differs_from_its_twin_gives_no_block(synth: Synth):
    status, out, err = synth(
        "sum(axis=1, dtype=np.int64)", "sum(axis=1, dtype=np.int64) + (np.arange(len(operands.codes)) == 3)"
    )
    assert (status, out) == (2, "")
    assert err.startswith("anda: error: netlist: 1 of ")
    assert err.endswith(
        "values of sums differ from its own compute (trace, the first at 3); no figure is reported; correct one of them"
    )
    assert not Path("pe.yaml").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('Latency("group_size / 8")', 'Latency("4")', "latency: a group takes 8 cycles in the netlist of own:SumPE (trace), and"),
        ('Latency("group_size / 8")', 'Latency("size / 8")', "own:SumPE: cycles_per_group: 'size' is unknown; use mantissa_bits"),
        ('"sum-pe"', '"sum pe"', "design: SumPE has the name 'sum pe'; use letters, digits and hyphens"),
        ("arithmetic = None", "arithmetic = 5", "own:SumPE: arithmetic: is 5; input should be a valid dictionary"),
        ("lanes, weight", "planes, weight", "design: SumPE has no lanes; an element has name, source, lanes, weight_operand"),
        ("    def compute", "    def twin", "design: SumPE has no compute; an element has name"),
        ('"steps": pack', '"step": pack', "sum-pe.payloads: gives payloads of step; the streams are steps"),
        ("operands.codes.sum(axis=1, dtype=np.int64)", "[1 << 20]", "sum-pe.compute: sums needs payloads of 10 bits"),
        ("operands.codes.sum", "operands.cods.sum", "design: own:SumPE fails (AttributeError: 'Operands' object has no"),
        ("m = Module()", "m = Modul()", "design: own:SumPE fails (NameError: name 'Modul' is not defined"),
        ("import numpy as np\n", "import nunpy as np\n", "design: own:SumPE fails (ModuleNotFoundError: No module named 'nunpy'"),
        ("import numpy as np\n", "import numpy as np\nexit(0)\n", "design: own:SumPE fails (SystemExit: 0, own.py line 3); fix it"),
        ("class SumPE(", "class Sum(", "design: own has no class SumPE that is an amaranth.lib.wiring.Component; add it"),
        ('"int", 4, 8', '"int", 9, 8', "own:SumPE: weight_bits: is 9; input should be less than or equal to 8"),
        ("    def __init__(self):", "    def __init__(self, deep):", "deep: is missing; give it a value, SumPE needs one"),
    ],
)  # fmt: skip
def test_bad_elements(synth: Synth, old: str, new: str, message: str):
    status, out, err = synth(old, new)
    assert (status, out, err.count("\n")) == (2, "", 0)
    assert err.removeprefix("anda: error: ").startswith(message)
    assert not Path("pe.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_pe:MyPE"], "design: No module named 'no_pe'; name a file of this folder without .py, or an installed module"),
        (["../pe:MyPE"], "design: '../pe:MyPE' names no class; write module:Class, such as my_pe:MyPE for my_pe.py"),
        (["my_pe:"], "design: 'my_pe:' names no class"),
        (["my_pe:MyPE", "--out", "folder"], "out: folder is no YAML file; an element of your own is written as one"),
        (["my_pe:MyPE", "--clock-ps", "900,800"], "clock_ps: an element of your own takes one; name one clock"),
        (["my_pe:MyPE", "--saif", "x.saif"], "design: all, saif and netlist are of built-in circuits"),
    ],
)  # fmt: skip
def test_bad_command_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    monkeypatch.setattr("anda_codesign.rtl.synthesis.load_operands", lambda *_: operands())
    assert main(["rtl", "synth", *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "synthesis in" not in line]
    assert line.removeprefix("anda: error: ").startswith(message)

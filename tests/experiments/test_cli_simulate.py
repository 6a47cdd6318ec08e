"""`anda simulate`: what it prints for programs and for people."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from anda_codesign.sim import architecture_names
from anda_codesign.workloads import Precision, bops_saving, gemms, model_shape

Run = Callable[..., Any]

TYPES = {
    "model": str,
    "phase": str,
    "tokens": int,
    "arch": str,
    "precision": list,
    "technology": str,
    "cycles": int,
    "seconds": float,
    "macs": int,
    "bops_saving": float,
    "dram_bytes": int,
    "sram_bytes": int,
    "energy_pj": dict,
    "area_mm2": float,
    "level": str,
    "gemms": list,
}
WIDTHS = {"figna": 13, "figna-m11": 11, "figna-m8": 8}
"""Mantissa bits of the architectures whose width is fixed below 16."""


@pytest.fixture
def record(anda: Run) -> Callable[..., dict[str, Any]]:
    def run(options: str) -> dict[str, Any]:
        answer = anda("simulate", *options.split(), "--json", "-")
        assert (answer.status, answer.err) == (0, "")
        return json.loads(answer.out)

    return run


@pytest.mark.parametrize("level", ["closed", "events"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("arch", architecture_names())
def test_the_record_of_a_model(record: Run, arch: str, phase: str, level: str):
    precision = " --precision 7,5,6,6" if arch == "anda" else ""
    result = record(f"--model opt-125m --arch {arch}{precision} --tokens 32 --phase {phase} --level {level}")
    assert {name: type(value) for name, value in result.items()} == TYPES
    assert (result["model"], result["arch"], result["phase"]) == ("OPT-125M", arch, phase)
    assert (result["tokens"], result["level"], result["technology"]) == (32, level, "paper-16nm")

    shape = model_shape("OPT-125M")
    bits = Precision(7, 5, 6, 6) if arch == "anda" else Precision.uniform(WIDTHS.get(arch, 16))
    assert result["precision"] == list(bits)
    assert result["bops_saving"] == pytest.approx(bops_saving(shape, bits))
    assert result["macs"] == sum(gemm.total_macs for gemm in gemms(shape, phase=phase, tokens=32))
    assert result["seconds"] == pytest.approx(result["cycles"] / 285e6)
    assert result["cycles"] == sum(gemm["cycles"] * gemm["repeat"] for gemm in result["gemms"])
    assert [gemm["module"] for gemm in result["gemms"]] == ["qkv", "o", "u", "d"]

    energy = result["energy_pj"]
    assert {name: type(value) for name, value in energy.items()} == dict.fromkeys(
        ("compute", "sram", "dram", "total"), float
    )
    assert energy["total"] == pytest.approx(energy["compute"] + energy["sram"] + energy["dram"])
    assert energy["dram"] == pytest.approx(result["dram_bytes"] * 8 * 3.9, rel=1e-3)
    assert min(energy.values()) > 0
    assert min(result["cycles"], result["sram_bytes"], result["area_mm2"]) > 0


def test_a_precision_that_does_not_apply_is_said_so(anda: Run):
    answer = anda("simulate", "--model", "OPT-125M", "--arch", "figna", "--m", 7, "--json", "-")
    assert answer.status == 0
    assert answer.err == "anda: note: precision: figna has its own width; the one given does not apply\n"
    assert json.loads(answer.out)["precision"] == [13] * 4


def test_one_width_for_all_modules(record: Run):
    assert record("--model OPT-125M --m 6") == record("--model OPT-125M --precision 6,6,6,6")


def test_a_single_gemm(record: Run):
    result = record("--gemm 32x128x64 --m 7 --tiling activations:32")
    assert result["model"] is None
    assert result["gemm"] == "32x128x64"
    assert result["macs"] == 32 * 128 * 64
    (gemm,) = result["gemms"]
    assert gemm["tiling"].startswith("activations resident, 32 tokens")
    tiles, groups, cycles_per_group = 2 * 4, 128 // 64, 8
    assert tiles * groups * cycles_per_group <= gemm["array_cycles"] < 2 * tiles * groups * cycles_per_group


def test_choices_reach_the_simulator(record: Run):
    base = "--model LLaMA-7B --m 7 --tokens 512"
    plain = record(base)
    assert record(f"{base} --tiling model")["dram_bytes"] > plain["dram_bytes"]
    assert record("--model LLaMA-7B --m 7 --tokens 1024")["macs"] == 2 * plain["macs"]


def test_the_table_for_a_person(anda: Run, record: Run):
    options = "--model OPT-125M --precision 7,5,6,6 --tokens 64"
    answer = anda("simulate", *options.split())
    assert (answer.status, answer.err) == (0, "")
    result = record(options)
    assert "OPT-125M on anda, mantissa bits 7,5,6,6, 64 tokens, level closed" in answer.out
    for text in (f"{result['cycles']:,}", f"{result['energy_pj']['total'] / 1e9:,.3f} mJ", f"{result['area_mm2']:.3f}"):
        assert text in answer.out


def test_a_new_json_file(anda: Run, record: Run, tmp_path: Any):
    path = tmp_path / "result.json"
    answer = anda("simulate", "--model", "OPT-125M", "--m", 7, "--json", path)
    assert answer == (0, "", "")
    assert json.loads(path.read_text()) == record("--model OPT-125M --m 7")

"""`anda simulate`: what it prints for programs and for people."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from anda_codesign.experiments import amounts
from anda_codesign.sim import architecture_names
from anda_codesign.sim.config.architecture import FOLDER
from anda_codesign.workloads import Precision, bops_saving, gemms, model_shape

Run = Callable[..., Any]

TYPES = {
    "model": str,
    "phase": str,
    "tokens": int,
    "context": int,
    "batch": int,
    "memory": str,
    "arch": str,
    "precision": list,
    "technology": str,
    "weights": str,
    "activations": str,
    "array": str,
    "dataflow": str,
    "cycles": int,
    "seconds": float,
    "macs": int,
    "bops_saving": float,
    "dram_bytes": int,
    "sram_bytes": int,
    "energy_pj": dict,
    "idle_pj": float,
    "area_mm2": float,
    "level": str,
    "gemms": list,
    "notes": list,
    "not_modelled": list,
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


@pytest.mark.parametrize("level", ["analytical", "events"])
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
        ("compute", "sram", "dram", "background", "total"), float
    )
    assert energy["total"] == pytest.approx(energy["compute"] + energy["sram"] + energy["dram"])
    assert energy["dram"] == pytest.approx(result["dram_bytes"] * 8 * 3.9, rel=1e-3)
    assert energy.pop("background") == 0 < min(energy.values())
    assert min(result["cycles"], result["sram_bytes"], result["area_mm2"]) > 0


def test_a_precision_that_does_not_apply_is_said_so(anda: Run):
    answer = anda("simulate", "--model", "OPT-125M", "--arch", "figna", "--m", 7, "--json", "-")
    assert answer.status == 0
    assert answer.err.startswith("anda: note: precision: figna has its own width")
    assert json.loads(answer.out)["precision"] == [13] * 4


def test_one_width_for_all_modules(record: Run):
    assert record("--model OPT-125M --m 6") == record("--model OPT-125M --precision 6,6,6,6")


def test_a_single_gemm(record: Run):
    result = record("--gemm 32x128x64 --m 7 --mapping activations:32")
    assert result["model"] is None
    assert result["gemm"] == "32x128x64"
    assert result["macs"] == 32 * 128 * 64
    (gemm,) = result["gemms"]
    assert gemm["mapping"] == "activations:32x128x64:single/double:array"
    tiles, groups, cycles_per_group = 2 * 4, 128 // 64, 8
    assert tiles * groups * cycles_per_group <= gemm["array_cycles"] < 2 * tiles * groups * cycles_per_group


def test_choices_reach_the_simulator(record: Run):
    base = "--model LLaMA-7B --m 7 --tokens 512"
    plain = record(base)
    assert record(f"{base} --mapping model")["dram_bytes"] > plain["dram_bytes"]
    assert record("--model LLaMA-7B --m 7 --tokens 1024")["macs"] == 2 * plain["macs"]


def test_the_table_for_a_person(anda: Run, record: Run):
    options = "--model OPT-125M --precision 7,5,6,6 --tokens 64"
    answer = anda("simulate", *options.split())
    assert (answer.status, answer.err) == (0, "")
    result = record(options)
    assert "OPT-125M on anda, mantissa bits 7,5,6,6, 64 tokens, level analytical" in answer.out
    for text in (f"{result['cycles']:,}", amounts.energy(result["energy_pj"]["total"]), f"{result['area_mm2']:.3f}"):
        assert text in answer.out


def test_a_new_json_file(anda: Run, record: Run, tmp_path: Any):
    path = tmp_path / "result.json"
    answer = anda("simulate", "--model", "OPT-125M", "--m", 7, "--json", path)
    assert answer == (0, "", "")
    assert json.loads(path.read_text()) == record("--model OPT-125M --m 7")


WHOLE = "--model OPT-125M --m 7 --tokens 16 --whole"


@pytest.mark.parametrize("level", ["analytical", "events"])
def test_a_whole_model(record: Run, level: str):
    result = record(f"{WHOLE} --level {level}")
    alone = record(f"--model OPT-125M --m 7 --tokens 16 --level {level}")
    assert result["cycles"] == sum(part["cycles"] for part in result["parts"]) > alone["cycles"]
    assert result["dram_bytes"] == sum(part["dram_bytes"] for part in result["parts"])
    assert result["sram_bytes"] == sum(part["sram_bytes"] for part in result["parts"])
    assert result["energy_pj"]["total"] == pytest.approx(sum(part["energy_pj"]["total"] for part in result["parts"]))
    macs = {
        kind: sum(p["operations"] for p in result["parts"] if p["kind"] == kind)
        for kind in ("fp-int", "attention", "head")
    }
    assert result["fp_int_share"] == pytest.approx(macs["fp-int"] / sum(macs.values()))
    assert macs["fp-int"] == alone["macs"]
    assert result["macs"] == sum(macs.values())
    assert result["gemms"] == alone["gemms"]
    assert result["area_mm2"] == alone["area_mm2"]


def test_options_of_a_whole_model(record: Run):
    plain = record(WHOLE)
    assert record(f"{WHOLE} --kv-cache anda:5")["dram_bytes"] < plain["dram_bytes"]
    assert record(f"{WHOLE} --vector-unit integer")["cycles"] > plain["cycles"]
    assert record(f"{WHOLE} --context 200")["macs"] > plain["macs"]
    assert record(f"{WHOLE} --batch 3")["macs"] == 3 * plain["macs"]
    assert record(f"{WHOLE} --weights spqr-3")["weights"] == "spqr-3"


def test_a_memory_with_rows(record: Run):
    flat, rows = (record(f"--gemm 64x512x512 --m 7 --level events --memory {memory}") for memory in ("flat", "hbm2"))
    assert (flat["memory"], rows["memory"]) == ("flat", "hbm2")
    assert rows["cycles"] > flat["cycles"]
    assert flat["gemms"][0]["row_hit_rate"] is None
    assert 0.5 < rows["gemms"][0]["row_hit_rate"] < 1
    assert 0 < rows["gemms"][0]["dram_utilisation"] < 1


def test_several_architectures(anda: Run, record: Run):
    options = "--gemm 64x512x512 --m 7"
    answer = anda("simulate", *options.split(), "--arch", "fp-fp, anda", "--json", "-")
    assert answer.status == 0
    both = json.loads(answer.out)
    assert [r["arch"] for r in both] == ["fp-fp", "anda"]
    assert both[1] == record(options)
    table = anda("simulate", *options.split(), "--arch", "fp-fp,anda").out
    assert f"{both[0]['cycles'] / both[1]['cycles']:.2f}" in table
    assert "speedup and energy gain over fp-fp" in table


def test_a_timeline_and_a_picture(anda: Run, tmp_path: Any):
    trace, picture = tmp_path / "trace.json", tmp_path / "picture.png"
    answer = anda(
        "simulate", "--gemm", "64x512x512", "--m", 7, "--level", "events", "--timeline", trace, "--plot", picture
    )
    assert answer.status == 0
    events = json.loads(trace.read_text())["traceEvents"]
    assert {"X", "C", "M"} == {event["ph"] for event in events}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_not_modelled_is_said(anda: Run, record: Run):
    limits = record("--gemm 64x512x512 --m 7")["not_modelled"]
    assert "Not modelled: " + "; ".join(limits) in anda("simulate", "--gemm", "64x512x512", "--m", 7).out
    whole, rows = record(WHOLE), record("--gemm 64x512x512 --m 7 --level events --memory hbm2")
    attention, dram = "attention and vector unit (whole models have them)", "DRAM rows"
    assert attention in limits
    assert attention not in whole["not_modelled"]
    assert any(line.startswith(dram) for line in limits)
    assert not any(line.startswith(dram) for line in rows["not_modelled"])


@pytest.mark.parametrize("options", ["--gemm 64x512x512 --m 7", WHOLE, f"{WHOLE} --level events --phase decode"])
def test_explain_adds_up(anda: Run, record: Run, options: str):
    answer = anda("explain", *options.split(), "--json", "-")
    assert (answer.status, answer.err) == (0, "")
    document, result = json.loads(answer.out), record(options)
    assert document["not_modelled"] == result["not_modelled"]
    sums: dict[str, float] = {}
    for row in document["rows"]:
        assert row["total"] == pytest.approx(row["count"] * row["unit"])
        assert row["source"]
        sums[row["quantity"]] = sums.get(row["quantity"], 0) + row["total"]
    assert sums["cycles"] == result["cycles"]
    assert sums["energy"] == pytest.approx(result["energy_pj"]["total"])
    assert sums["area"] == pytest.approx(result["area_mm2"])
    assert sums["traffic"] == pytest.approx(result["dram_bytes"], rel=1e-3)


def test_explain_for_a_person(anda: Run):
    out = anda("explain", "--gemm", "64x512x512", "--m", 7).out
    for text in ("cycles of 64x512x512 on anda", "tiles of the array", "pJ/bit", "Table III", "Not modelled: "):
        assert text in out


def test_slow_memories_are_said_so(anda: Run, record: Run, tmp_path: Any):
    mine = tmp_path / "mine.yaml"
    text = (FOLDER / "anda.yaml").read_text()
    mine.write_text(text.replace("weight_buffer: {capacity: 1 MiB", "weight_buffer: {capacity: 3 MiB"))
    options = f"--gemm 64x512x512 --m 7 --arch {mine} --technology cacti-16nm"
    notes = record(options)["notes"]
    assert notes[0] == "weight_buffer: interpolated between memories of 2097152 and 4194304 B"
    assert notes[1].startswith("weight_buffer: takes 5.38")
    assert notes[1].endswith(" ns a cycle, more than the 3.51 ns of the clock; lower the clock or the capacity")
    assert anda("simulate", *options.split()).err == "".join(f"anda: note: {line}\n" for line in notes)
    assert record("--gemm 64x512x512 --m 7 --technology cacti-16nm")["notes"] == []


def test_options_of_the_array(record: Run):
    plain = record("--gemm 64x512x512 --m 7")
    assert record("--gemm 64x512x512 --m 7 --midpoint")["cycles"] == plain["cycles"] + 1
    assert record("--gemm 64x512x512 --m 7 --group-cycles 8,8,6.5,8")["cycles"] < 0.85 * plain["cycles"]

"""`anda simulate --prompt --generate`: a whole inference, for programs and for people."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.workloads import model_shape

import anda_codesign

Run = Callable[..., Any]
ASKED = "--model LLaMA-7B --precision 7,6,6,6 --prompt 512 --generate 128 --batch 8"
TYPES = {
    "ttft_seconds": float,
    "tpot_seconds": dict,
    "tokens_per_second": float,
    "total_seconds": float,
    "energy_per_token_pj": float,
    "total_energy_pj": float,
    "kv_cache_bytes": int,
    "memory_bytes": int,
}
BOUNDS = {"compute", "dram", "sram port", "vector unit"}


def records(anda: Run, options: str) -> Any:
    answer = anda("simulate", *options.split(), "--json", "-")
    assert answer.status == 0
    return json.loads(answer.out)


def test_every_architecture_prints_every_figure(anda: Run):
    answers = records(anda, f"{ASKED} --arch fp-fp,figna,anda")
    assert [one["arch"] for one in answers] == ["fp-fp", "figna", "anda"]
    for one in answers:
        assert {name: type(one[name]) for name in TYPES} == TYPES
        assert set(one["tpot_seconds"]) == {"mean", "last"}
        mean, last = one["tpot_seconds"]["mean"], one["tpot_seconds"]["last"]
        assert 0 < mean < last
        assert one["total_seconds"] == pytest.approx(one["ttft_seconds"] + 127 * mean)
        assert one["tokens_per_second"] == pytest.approx(8 * 128 / one["total_seconds"])
        assert one["total_energy_pj"] == pytest.approx(8 * 128 * one["energy_per_token_pj"])
        assert one["total_energy_pj"] == pytest.approx(sum(part["energy_pj"]["total"] for part in one["parts"]))
        assert one["cycles"] == sum(part["cycles"] for part in one["parts"])
        assert one["dram_bytes"] == sum(part["dram_bytes"] for part in one["parts"])
        assert one["kv_cache_bytes"] == 8 * (512 + 128) * 32 * 2 * 4096 * 2
        assert one["memory_bytes"] == sum(one["memory_parts"].values())
        assert {part["phase"] for part in one["parts"]} == {"prefill", "decode"}
        assert {part["bound"] for part in one["parts"]} <= BOUNDS
        assert all(0 <= part["utilisation"] <= 1 for part in one["parts"])


def test_one_architecture_is_one_document_and_the_function_gives_the_same(anda: Run):
    document = records(anda, f"{ASKED} --arch anda")
    result = anda_codesign.simulate(
        model="LLaMA-7B", arch="anda", precision=(7, 6, 6, 6), prompt=512, generate=128, batch=8
    )
    assert result.to_dict() == document
    assert result.seconds == document["total_seconds"]
    frame = result.to_frame()
    assert frame["tpot_seconds.last"].item() == document["tpot_seconds"]["last"]


def test_the_table_for_a_person(anda: Run):
    answer = anda("simulate", *f"{ASKED} --arch fp-fp,anda".split())
    one = records(anda, f"{ASKED} --arch anda")
    assert answer.status == 0
    assert "LLaMA-7B, 8 x (512 + 128 tokens), level analytical, paper-16nm" in answer.out
    for text in ("time to first token", "time per output token, last", "tokens per second", "2.50 GiB", "vector unit"):
        assert text in answer.out
    assert f"{one['total_energy_pj'] / 1e12:.1f} J" in answer.out
    assert f"{1000 * one['tpot_seconds']['last']:.0f} ms" in answer.out


def test_architectures_without_a_compressor_are_left_out(anda: Run):
    answer = anda("simulate", *ASKED.split(), "--arch", "fp-fp,figna,anda", "--kv-cache", "anda:8", "--json", "-")
    assert answer.status == 0
    assert answer.err == "anda: note: kv_cache: anda:8 needs a compressor; left out: fp-fp, figna\n"
    [one] = json.loads(answer.out)
    assert one["arch"] == "anda"
    assert one["kv_cache_bytes"] == 8 * 640 * 32 * 2 * 32 * 2 * (9 * 64 + 5) // 8


def test_a_memory_that_is_too_small_can_be_ignored(anda: Run):
    one = records(anda, "--model LLaMA-65B --arch fp-fp --prompt 16 --generate 2 --allow-overflow")
    assert [note for note in one["notes"] if note.startswith("memory: LLaMA-65B needs 32.1 GiB")]
    fits = records(anda, "--model LLaMA-7B --arch fp-fp --prompt 16 --generate 2 --allow-overflow")
    assert fits["notes"] == []


def test_the_default_precision(anda: Run):
    answer = anda("simulate", "--model", "OPT-125M", "--json", "-")
    assert answer.status == 0
    assert answer.err == "anda: note: precision: none is given; anda takes its default, 8,7,6,7\n"
    assert json.loads(answer.out) == records(anda, "--model OPT-125M --precision 8,7,6,7")
    assert records(anda, "--gemm 16x64x16")["gemms"][0]["mantissa_bits"] == 8
    assert anda_codesign.simulate(model="OPT-125M").to_dict()["precision"] == [8, 7, 6, 7]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([[8, 5, 6, 7]] * 6 + [[6, 5, 6, 7]] * 6),
        json.dumps(
            {"model": "OPT-125M", "best": "7,5,6,6", "per_layer": {"layers": ["8,5,6,7"] * 6 + ["6,5,6,7"] * 6}}
        ),
        "layers:\n" + "- {qkv: 8, o: 5, u: 6, d: 7}\n" * 6 + "- 6,5,6,7\n" * 6,
    ],
)
def test_a_precision_for_each_layer_from_a_file(anda: Run, tmp_path: Path, content: str):
    path = tmp_path / "layers.json"
    path.write_text(content)
    mixed = records(anda, f"--model OPT-125M --precision {path}")
    ends = [records(anda, f"--model OPT-125M --precision {bits},5,6,7") for bits in (8, 6)]
    assert mixed["precision"] == [[8, 5, 6, 7]] * 6 + [[6, 5, 6, 7]] * 6
    assert mixed["macs"] == ends[0]["macs"]
    assert ends[1]["cycles"] < mixed["cycles"] < ends[0]["cycles"]
    assert mixed["bops_saving"] == pytest.approx(2 / (1 / ends[0]["bops_saving"] + 1 / ends[1]["bops_saving"]))
    layers = [(8, 5, 6, 7)] * 6 + [[6, 5, 6, 7]] * 6
    assert anda_codesign.simulate(model="OPT-125M", precision=layers).to_dict() == mixed
    whole = anda("simulate", "--model", "OPT-125M", "--precision", path, "--prompt", 64, "--generate", 8)
    assert whole.status == 0
    assert "mean 7.00,5.00,6.00,7.00" in whole.out


def test_a_longer_context_by_a_shape_of_ones_own():
    longer = replace(model_shape("LLaMA-7B"), max_length=65536)
    result = anda_codesign.simulate(model=longer, arch="fp-fp", prompt=4096, generate=2)
    assert result.to_dict()["kv_cache_bytes"] == 4098 * 32 * 2 * 4096 * 2


def test_explain_names_the_phases(anda: Run):
    options = "--model OPT-125M --arch anda --m 7 --prompt 20 --generate 5"
    answer = anda("explain", *options.split(), "--json", "-")
    one, rows = records(anda, options), json.loads(answer.out)["rows"]
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["quantity"]] = sums.get(row["quantity"], 0) + row["total"]
    assert sums["cycles"] == one["cycles"]
    assert sums["energy"] == pytest.approx(one["total_energy_pj"])
    assert sums["area"] == pytest.approx(one["area_mm2"])
    assert {"prefill: qkv", "decode: attention", "decode: head"} <= {row["part"] for row in rows}


def test_a_picture_of_an_inference(anda: Run, tmp_path: Path):
    picture = tmp_path / "picture.png"
    options = "--model OPT-125M --arch fp-fp,anda --m 7 --prompt 20 --generate 5"
    assert anda("simulate", *options.split(), "--plot", picture).status == 0
    assert picture.exists()

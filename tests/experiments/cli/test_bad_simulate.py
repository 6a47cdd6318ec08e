"""Bad input of `anda simulate` and `anda explain`: one line that names the field and the fix."""

from pathlib import Path

import pytest
from anda_codesign.sim.config.architecture import FOLDER as ARCHITECTURES
from anda_codesign.sim.config.technology import FOLDER as TECHNOLOGIES
from cases import each
from messages import Refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("--model GPT-5", "model: 'GPT-5'"),
        ("--model=", "model: ''"),
        ("--arch tpu", "architecture: 'tpu'"),
        (
            "--arch none.yaml",
            "architecture: there is no file 'none.yaml'",
        ),
        ("--precision 0,5,6,6", "precision: qkv has 0 mantissa bits"),
        ("--precision 7,5,6,17", "precision: d has 17 mantissa bits"),
        ("--precision 7,5,6", "precision: '7,5,6'"),
        ("--precision 7,5,6,6,6", "precision: '7,5,6,6,6'"),
        ("--precision 7,5,6,six", "precision: '7,5,6,six'"),
        ("--precision=", "precision: ''"),
        ("--m 7", "precision: given twice"),
        ("--arch fp-fp --precision 99,1,1,1", "precision: qkv has 99 mantissa bits"),
        ("--gemm 1x2x3", "model: give either --model NAME or --gemm TxKxN"),
        ("--tokens 0", "tokens: 0"),
        ("--phase train", "phase: 'train'"),
        ("--level rtl", "level: 'rtl'"),
        ("--objective speed", "objective: 'speed'"),
        (
            "--mapping all",
            "mapping: 'all'",
        ),
        ("--mapping sums:16x64x16", "mapping: anda keeps partial sums in the array; take partial_sums: buffer"),
        ("--partial-sums dram", "partial_sums: 'dram'"),
        ("--level cycle --partial-sums buffer", "partial_sums: the circuit of level cycle keeps them in the array"),
        (
            "--technology 3nm",
            "technology: '3nm'",
        ),
    ],
)
def test_simulate(refused: Refused, changes: str, message: str):
    good = "simulate --model OPT-125M --arch anda --precision 7,5,6,6 --json -"
    assert refused(*good.split(), *changes.split()).startswith(message)


@pytest.mark.parametrize("command", ["simulate", "explain"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("--memory hbm2", "memory: 'hbm2'"),
        (
            "--memory ddr9 --level events",
            "memory: 'ddr9'",
        ),
        (
            "--weights nf4",
            "weight format: 'nf4'",
        ),
        ("--kv-cache anda:7", "kv_cache: 'anda:7'"),
        ("--vector-unit integer", "vector_unit: 'integer'"),
        ("--whole --kv-cache int8", "kv_cache: 'int8'"),
        ("--whole --vector-unit bf16", "vector_unit: 'bf16'"),
        ("--context -1", "context: -1"),
        ("--batch 0", "batch: 0"),
        ("--midpoint --arch figna", "midpoint: figna has no mantissa planes"),
        ("--midpoint --activations mxint8", "midpoint: mxint8 has no mantissas that are cut"),
        (
            "--group-cycles 7,6",
            "group_cycles: '7,6'",
        ),
        ("--group-cycles 9,6,7,7", "group_cycles.qkv: 9.0"),
        ("--arch ,", "arch: there is none"),
    ],
)
def test_the_machine(refused: Refused, command: str, changes: str, message: str):
    good = f"{command} --model OPT-125M --arch anda --precision 7,5,6,6 --json -"
    assert refused(*good.split(), *changes.split()).startswith(message)


@pytest.mark.parametrize(
    "option", ["--tokens 3", "--context 1", "--batch 2", "--phase decode", "--kv-cache anda:7", "--vector-unit integer"]
)
def test_options_of_a_model_with_a_gemm(refused: Refused, option: str):
    name = option.split()[0].removeprefix("--").replace("-", "_")
    message = f"{name}: does not apply to a single GeMM"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, *option.split()).startswith(message)


def test_files_of_a_simulation(refused: Refused, tmp_path: Path):
    gemm = ("simulate", "--gemm", "16x64x16", "--m", 7)
    there = tmp_path / "there.png"
    there.write_text("mine")
    kept = "exists and is not overwritten; name another file"
    assert refused(*gemm, "--plot", there) == f"plot: {there} {kept}"
    assert refused(*gemm, "--level", "events", "--timeline", there) == f"timeline: {there} {kept}"
    assert there.read_text() == "mine"
    picture = tmp_path / "picture.txt"
    assert refused(*gemm, "--plot", picture).startswith(f"plot: {picture} is not a picture")
    trace = tmp_path / "trace.json"
    message = "timeline: level analytical has no events"
    assert refused(*gemm, "--timeline", trace).startswith(message)
    several = "timeline: shows one architecture"
    assert refused(*gemm, "--arch", "anda,fp-fp", "--level", "events", "--timeline", trace).startswith(several)
    assert not trace.exists()
    assert refused("explain", *gemm[1:], "--arch", "anda,fp-fp").startswith("arch: only one can be explained at a time")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "activation_buffer: {capacity: 1 MiB, port: 1024 bit}": "activation_buffer: {capacity: 512 B, port: 1024 bit}"
            },
            "activation_buffer.capacity: 512",
        ),
        (
            {"clock: 285 MHz": "clock: 285"},
            "architecture mine.yaml: clock: 285 has no unit",
        ),
        (
            {"clock: 285 MHz": "clock: 0 MHz"},
            "architecture mine.yaml: clock: '0 MHz' is not a positive whole number of Hz",
        ),
        (
            {"vector_lanes: 64": "vector_lanes: 64\nvoltage: 0.8 V"},
            "architecture mine.yaml: voltage: is not a key here",
        ),
        (
            {"array: {rows: 16, columns: 16}": "array: {rows: 32, columns: 16}"},
            "architecture mine.yaml: activation_buffer.port: one plane of 32 rows is 2048 bit",
        ),
    ],
)
def test_an_architecture_of_ones_own(refused: Refused, tmp_path: Path, changes: dict[str, str], message: str):
    text = (ARCHITECTURES / "anda.yaml").read_text()
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    assert refused("simulate", "--gemm", "64x512x64", "--m", 7, "--arch", mine).startswith(message)


@pytest.mark.parametrize("bandwidth", ["0", "-1"])
def test_no_bandwidth(refused: Refused, tmp_path: Path, bandwidth: str):
    mine = tmp_path / "mine.yaml"
    constant = f"{{value: {bandwidth}, unit: GB/s, node: HBM2, source: mine, uncertainty: none}}"
    energy = "{value: 3.9, unit: pJ/bit, node: HBM2, source: mine, uncertainty: none}"
    mine.write_text(f"name: mine\ntitle: mine\nbase: paper-16nm\ndram: {{bandwidth: {constant}, energy: {energy}}}\n")
    expected = f"technology mine.yaml: dram.bandwidth.value: is {bandwidth}"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, "--technology", mine).startswith(expected)


def test_a_constant_without_a_unit(refused: Refused, tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    text = (TECHNOLOGIES / "paper-16nm.yaml").read_text()
    mine.write_text(text.replace("{value: 256, unit: GB/s,", "{value: 256,"))
    expected = "technology mine.yaml: dram.bandwidth.unit: is missing"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, "--technology", mine).startswith(expected)


def test_keys_that_do_not_exist_in_an_architecture(refused: Refused, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text((ARCHITECTURES / "anda.yaml").read_text().replace("columns: 16", "columns: 16, depth: 4"))
    message = "architecture mine.yaml: array.depth: is not a key here"
    assert refused("simulate", "--model", "OPT-125M", "--m", 7, "--arch", path).startswith(message)


def test_keys_that_do_not_exist_in_a_technology(refused: Refused, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text((TECHNOLOGIES / "paper-16nm.yaml").read_text() + "\ncooling: water\n")
    message = refused("simulate", "--model", "OPT-125M", "--m", 7, "--technology", path)
    assert message.startswith("technology mine.yaml: cooling: is not a key here")


def test_a_tile_of_more_rows_than_tokens(refused: Refused):
    message = "mapping: 32"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, "--mapping", "activations:32").startswith(message)


def test_a_fixed_width_does_not_say_more_than_the_mistake(refused: Refused):
    assert refused("simulate", "--model", "GPT-5", "--arch", "fp-fp", "--m", 7).startswith("model: 'GPT-5' is unknown")


def test_the_precision_is_missing(refused: Refused, tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    lines = (ARCHITECTURES / "anda.yaml").read_text().splitlines()
    mine.write_text("\n".join(line for line in lines if not line.startswith("default_precision")))
    for work in (("--model", "OPT-125M"), ("--gemm", "16x64x16")):
        assert refused("simulate", *work, "--arch", mine).startswith("precision: anda needs one")


@each(
    "content",
    [
        ("[]", "holds no list of layers"),
        ("{best: 7}", "holds no list of layers"),
        ("[[7, 5, 6, 6], [7, 5, 6]]", "layer 1: '7,5,6' is not four numbers"),
        ("[[7, 5, 6, 17]]", "layer 0: d has 17 mantissa bits"),
        ("[{qkv: 7, o: 5, u: 6}]", "layer 0: is no precision"),
        ("[[7, 5, 6, 6]]", ""),
    ],
)
def test_a_file_with_a_precision_for_each_layer(refused: Refused, tmp_path: Path, content: tuple[str, str]):
    path = tmp_path / "layers.yaml"
    path.write_text(content[0])
    message = refused("simulate", "--model", "OPT-125M", "--precision", path)
    if content[1]:
        assert message.startswith(f"precision layers.yaml: {content[1]}")
    else:
        assert message.startswith("precision: 1 layers have one and OPT-125M has 12 layers; give one for each")


def test_a_file_of_precisions_that_is_not_there(refused: Refused):
    assert refused("simulate", "--model", "OPT-125M", "--precision", "none.json").startswith("precision none.json: ")


@each(
    "case",
    [
        (
            "--prompt 2000 --generate 49",
            "generate: 2,000 of prompt and 49 of generate are 2,049 tokens, beyond the context",
        ),
        (
            "--tokens 131072",
            "tokens: 0 of context and 131,072 of tokens are 131,072 tokens, beyond the context of LLaMA-7B",
        ),
        (
            "--phase decode --tokens 1 --context 2048",
            "tokens: 2,048 of context and 1 of tokens are 2,049 tokens, beyond",
        ),
        ("--prompt 10", "generate: is missing; a whole inference needs both --prompt and --generate"),
        ("--generate 10", "prompt: is missing"),
        ("--prompt 10 --generate 0", "generate: 0 is not valid"),
        ("--prompt 0 --generate 4", "prompt: 0 is not valid"),
        ("--prompt 10 --generate 4 --batch 0", "batch: 0 is not valid"),
        ("--prompt 10 --generate 4 --phase decode", "phase: applies to a single pass"),
        ("--prompt 10 --generate 4 --tokens 7", "tokens: applies to a single pass"),
        ("--head none", "head: 'none' applies to whole models only"),
        ("--vector-traffic none", "vector_traffic: 'none' applies to whole models only"),
        ("--allow-overflow", "allow_overflow: True applies to whole models only"),
        ("--whole --head int2", "weight format: 'int2' is unknown"),
        ("--whole --vector-traffic sram", "vector_traffic: 'sram' is not valid; choose one of dram, none"),
        (
            "--prompt 100 --generate 100 --batch 100",
            "memory: LLaMA-7B needs 13.8 GiB, and the DRAM has 8.0 GiB; take a",
        ),
        ("--arch figna --prompt 10 --generate 4 --kv-cache anda:8", "kv_cache: figna has no compressor for anda:8"),
        (
            "--arch figna,fp-fp --prompt 10 --generate 4 --kv-cache anda:8",
            "kv_cache: figna has no compressor for anda:8",
        ),
    ],
)
def test_impossible_inferences(refused: Refused, case: tuple[str, str]):
    options, message = case
    assert refused("simulate", "--model", "LLaMA-7B", *options.split()).startswith(message)


def test_a_default_precision_of_a_fixed_width(refused: Refused, tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    mine.write_text((ARCHITECTURES / "figna.yaml").read_text() + '\ndefault_precision: "7,5,6,6"\n')
    expected = "architecture mine.yaml: default_precision: the operand's mantissa bits are fixed; leave it out"
    assert refused("simulate", "--model", "OPT-125M", "--arch", mine).startswith(expected)


def test_four_widths_for_one_gemm(refused: Refused):
    message = "precision: a single GeMM has one width"
    assert refused("simulate", "--gemm", "16x64x16", "--precision", "7,5,6,6").startswith(message)


def test_a_gemm_that_is_none(refused: Refused):
    message = "gemm: '16x64'"
    assert refused("simulate", "--gemm", "16x64", "--m", 7).startswith(message)

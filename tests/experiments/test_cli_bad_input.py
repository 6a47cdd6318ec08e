"""Every mistake a user can make is one line that names the field and the mend, exit status 2, and nothing overwritten."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.experiments.sweep import question_names
from anda_codesign.rtl import design_names
from anda_codesign.sim.architecture import FOLDER as ARCHITECTURES
from anda_codesign.sim.technology import FOLDER as TECHNOLOGIES
from anda_codesign.workloads import TextBlocks, Trace, capture_trace, synthetic_decoder
from anda_codesign.workloads.fetch import data_paths

Refused = Callable[..., str]

MODELS = (
    "OPT-125M, OPT-1.3B, OPT-2.7B, OPT-6.7B, OPT-13B, OPT-30B, OPT-66B, LLaMA-7B, LLaMA-13B, LLaMA-30B, LLaMA-65B, "
    "LLaMA2-7B, LLaMA2-13B, LLaMA2-70B, LLaMA3-8B, LLaMA3-70B, SmolLM2-135M"
)
ARCHS = "anda, figna, figna-m11, figna-m8, fp-fp, fp-int, ifpu"
FOUR = "give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"
SWEEP = "models: [OPT-125M]\narchs: [fp-fp]\n"


@pytest.fixture(scope="module")
def trace() -> Trace:
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    return capture_trace(synthetic_decoder(), blocks, layers=(0,), tokens=4)


@pytest.fixture
def trace_file(trace: Trace, tmp_path: Path) -> Path:
    path = tmp_path / "trace.safetensors"
    trace.save(path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("--model GPT-5", f"model: 'GPT-5' is unknown; choose one of {MODELS}"),
        ("--model=", f"model: '' is unknown; choose one of {MODELS}"),
        ("--arch tpu", f"architecture: 'tpu' is unknown; choose one of {ARCHS} or give a path to a YAML file"),
        (
            "--arch none.yaml",
            f"architecture: there is no file 'none.yaml'; give a readable YAML file or one of {ARCHS}",
        ),
        ("--precision 0,5,6,6", "precision: qkv has 0 mantissa bits; use 1 to 16"),
        ("--precision 7,5,6,17", "precision: d has 17 mantissa bits; use 1 to 16"),
        ("--precision 7,5,6", f"precision: '7,5,6' is not four numbers; {FOUR}"),
        ("--precision 7,5,6,6,6", f"precision: '7,5,6,6,6' is not four numbers; {FOUR}"),
        ("--precision 7,5,6,six", f"precision: '7,5,6,six' is not four numbers; {FOUR}"),
        ("--precision=", f"precision: '' is not four numbers; {FOUR}"),
        ("--m 7", "precision: given twice; use either --precision or --m"),
        ("--arch fp-fp --precision 99,1,1,1", "precision: qkv has 99 mantissa bits; use 1 to 16"),
        ("--gemm 1x2x3", "model: give either --model NAME or --gemm TxKxN"),
        ("--tokens 0", "tokens: 0 is too few; use 1 or more"),
        ("--phase train", "phase: 'train' is unknown; use prefill or decode"),
        ("--level rtl", "level: 'rtl' is unknown; use closed, events, instructions"),
        ("--objective speed", "objective: 'speed' is unknown; use energy, latency, edp"),
        ("--tiling all", "tiling: 'all' is unknown; write activations:TOKENS, weights:CHANNELS or nothing"),
        (
            "--technology 3nm",
            "technology: '3nm' is unknown; choose one of asap7, cacti-16nm, osu018, paper-16nm, sky130 or give a path to a YAML file",
        ),
    ],
)
def test_simulate(refused: Refused, changes: str, message: str):
    good = "simulate --model OPT-125M --arch anda --precision 7,5,6,6 --json -"
    assert refused(*good.split(), *changes.split()) == message


KV = "write fp16 or anda:M with M from 1 to 16"
WEIGHTS = "int4, spqr-3, squeezellm-3, squeezellm-4"


@pytest.mark.parametrize("command", ["simulate", "explain"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("--memory hbm2", "memory: 'hbm2' needs level events; use flat with level closed"),
        (
            "--memory ddr9 --level events",
            "memory: 'ddr9' is unknown; choose one of hbm2 or give a path to a YAML file",
        ),
        (
            "--weights nf4",
            f"weight format: 'nf4' is unknown; choose one of {WEIGHTS} or give a path to a YAML file",
        ),
        ("--kv-cache anda:7", "kv_cache: 'anda:7' matters to whole models only; simulate a whole one"),
        ("--vector-unit integer", "vector_unit: 'integer' matters to whole models only; simulate a whole one"),
        ("--whole --kv-cache int8", f"kv_cache: 'int8' is unknown; {KV}"),
        ("--whole --vector-unit bf16", "vector_unit: 'bf16' is unknown; use fp16, integer"),
        ("--context -1", "context: -1 is negative; use 0 or more"),
        ("--batch 0", "batch: 0 is too few; use 1 or more"),
        ("--midpoint --arch figna", "midpoint: figna has no mantissa planes; leave it out"),
        (
            "--group-cycles 7,6",
            "group_cycles: '7,6' is not four numbers; give the mean cycles of qkv, o, u and d, such as 7.2,5.9,6.4,6.1",
        ),
        ("--group-cycles 9,6,7,7", "group_cycles: qkv has 9.0; use 4 to 8 cycles"),
        ("--arch ,", "arch: there is none; give one of `anda archs`, or several with commas"),
    ],
)
def test_the_machine(refused: Refused, command: str, changes: str, message: str):
    good = f"{command} --model OPT-125M --arch anda --precision 7,5,6,6 --json -"
    assert refused(*good.split(), *changes.split()) == message


@pytest.mark.parametrize(
    "option", ["--tokens 3", "--context 1", "--batch 2", "--phase decode", "--kv-cache anda:7", "--vector-unit integer"]
)
def test_options_of_a_model_with_a_gemm(refused: Refused, option: str):
    name = option.split()[0].removeprefix("--")
    message = f"{name}: does not apply to a single GeMM; leave it out or give --model"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, *option.split()) == message


def test_files_of_a_simulation(refused: Refused, tmp_path: Path):
    gemm = ("simulate", "--gemm", "16x64x16", "--m", 7)
    there = tmp_path / "there.png"
    there.write_text("mine")
    kept = "exists and is not overwritten; name another file"
    assert refused(*gemm, "--plot", there) == f"plot: {there} {kept}"
    assert refused(*gemm, "--level", "events", "--timeline", there) == f"timeline: {there} {kept}"
    assert there.read_text() == "mine"
    picture = tmp_path / "picture.txt"
    assert refused(*gemm, "--plot", picture) == f"plot: {picture} is no picture; end it in .png, .svg, .pdf"
    trace = tmp_path / "trace.json"
    message = "timeline: level closed has no events; use level events or instructions"
    assert refused(*gemm, "--timeline", trace) == message
    several = "timeline: shows one architecture; give one --arch"
    assert refused(*gemm, "--arch", "anda,fp-fp", "--level", "events", "--timeline", trace) == several
    assert not trace.exists()
    assert refused("explain", *gemm[1:], "--arch", "anda,fp-fp") == "arch: one at a time is explained; give one"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "activation_buffer: {capacity: 1 MiB, port: 1024 bit}": "activation_buffer: {capacity: 1 KiB, port: 1024 bit}"
            },
            "activation_buffer.capacity: 1024 B is too small for any tiling; one group of a tile of the array, "
            "double-buffered, takes 2048 B",
        ),
        (
            {"clock: 285 MHz": "clock: 285"},
            "architecture mine.yaml: clock: 285 has no unit; write a number and a unit, such as '285 MHz'",
        ),
        (
            {"clock: 285 MHz": "clock: 0 MHz"},
            "architecture mine.yaml: clock: '0 MHz' is not a positive whole number of Hz; write '285 MHz'",
        ),
        (
            {"vector_lanes: 64": "vector_lanes: 64\nvoltage: 0.8 V"},
            "architecture mine.yaml: voltage: is not a key here; the keys are activation_buffer, activation_memory, "
            "array, clock, compressor, exponent_buffer, name, processing_element, source, title, vector_lanes, "
            "weight_buffer, weights",
        ),
        (
            {"array: {rows: 16, columns: 16}": "array: {rows: 32, columns: 16}"},
            "architecture mine.yaml: activation_buffer.port: one plane of 32 rows is 2048 bit; "
            "widen the port to that or take fewer array.rows",
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
    assert refused("simulate", "--gemm", "64x512x64", "--m", 7, "--arch", mine) == message


@pytest.mark.parametrize("bandwidth", ["0", "-1"])
def test_no_bandwidth(refused: Refused, tmp_path: Path, bandwidth: str):
    mine = tmp_path / "mine.yaml"
    constant = f"{{value: {bandwidth}, unit: GB/s, node: HBM2, source: mine, uncertainty: none}}"
    energy = "{value: 3.9, unit: pJ/bit, node: HBM2, source: mine, uncertainty: none}"
    mine.write_text(f"name: mine\ntitle: mine\nbase: paper-16nm\ndram: {{bandwidth: {constant}, energy: {energy}}}\n")
    expected = f"technology mine.yaml: dram.bandwidth.value: is {bandwidth}; input should be greater than 0"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, "--technology", mine) == expected


def test_a_constant_without_a_unit(refused: Refused, tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    text = (TECHNOLOGIES / "paper-16nm.yaml").read_text()
    mine.write_text(text.replace("{value: 256, unit: GB/s,", "{value: 256,"))
    expected = "technology mine.yaml: dram.bandwidth.unit: is missing; add it"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, "--technology", mine) == expected


def test_a_tile_of_more_rows_than_tokens(refused: Refused):
    message = "tiling: 32 tokens do not fit a GeMM of 16; use 1 to 16"
    assert refused("simulate", "--gemm", "16x64x16", "--m", 7, "--tiling", "activations:32") == message


def test_a_fixed_width_does_not_say_more_than_the_mistake(refused: Refused):
    assert refused("simulate", "--model", "GPT-5", "--arch", "fp-fp", "--m", 7).startswith("model: 'GPT-5' is unknown")


def test_the_precision_is_missing(refused: Refused):
    assert refused("simulate", "--model", "OPT-125M") == f"precision: anda needs one; {FOUR}"
    assert refused("simulate", "--gemm", "16x64x16") == f"precision: anda needs one; {FOUR}"


def test_a_gemm_that_is_none(refused: Refused):
    message = "gemm: '16x64' is not three numbers; write TOKENSxINxOUT, such as 2048x4096x4096"
    assert refused("simulate", "--gemm", "16x64", "--m", 7) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Missing command; see 'anda --help'"),
        ("simulat", "No such command 'simulat'. Did you mean 'simulate'?; see 'anda --help'"),
        ("rtl", "Missing command; see 'anda rtl --help'"),
        ("trace info", "Missing argument 'file'; see 'anda trace info --help'"),
        (
            "simulate --modell OPT-125M",
            "No such option: --modell (Possible options: --model); see 'anda simulate --help'",
        ),
        ("simulate --model", "Option '--model' requires an argument; see 'anda --help'"),
        (
            "simulate --model OPT-125M --tokens many",
            "Invalid value for '--tokens': Input should be a valid integer, unable to parse string as an integer; "
            "see 'anda simulate --help'",
        ),
        ("report", "Missing option '--out'; see 'anda report --help'"),
        ("sweep", "file: is missing; name a sweep file, or a question of `anda sweep --questions`"),
        ("sweep phases", "out: is missing; name a new folder with --out DIR"),
        ("sweep phases --out x --workers 0", "workers: 0 is too few; use 1 or more"),
        (
            "sweep phases --out x --workers 2 --dask tcp://127.0.0.1:1",
            "workers: a Dask cluster has its own; give either --workers or --dask",
        ),
    ],
)
def test_command_lines_that_are_incomplete_or_contradictory(refused: Refused, arguments: str, message: str):
    assert refused(*arguments.split()) == message


@pytest.mark.parametrize(
    "arguments",
    [
        "simulate --model OPT-125M --m 7",
        "simulate --model none",
        "models",
        "archs",
        "formats",
        "trace info none",
        "rtl check --trace none",
    ],
)
def test_a_json_file_that_exists_is_kept(refused: Refused, tmp_path: Path, arguments: str):
    path = tmp_path / "result.json"
    path.write_text("precious")
    message = f"json: {path} exists and is not overwritten; name another file"
    assert refused(*arguments.split(), "--json", path) == message
    assert path.read_text() == "precious"


def test_a_file_without_a_name(refused: Refused):
    assert refused("archs", "--json", "") == "json: '' names no file; give a new one"


def test_a_folder_that_may_not_be_written(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    message = f"json: the folder {tmp_path} may not be written; name another file"
    assert refused("archs", "--json", tmp_path / "archs.json") == message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/data/model"), "/data/model: Permission denied"),
        (OSError(28, "No space left on device"), "output: No space left on device"),
    ],
)
def test_what_the_machine_refuses(refused: Refused, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str):
    def fail() -> None:
        raise error

    monkeypatch.setattr("anda_codesign.experiments.catalog.arch_records", fail)
    assert refused("archs") == f"{message}; mend that and run the command again"


def test_a_problem_that_is_too_large_for_the_memory(refused: Refused):
    message = refused("rtl", "run", "--tokens", 10**6, "--k", 10**6, "--n", 64)
    assert message.startswith("memory: is not enough (Unable to allocate ")
    assert message.endswith("); take a smaller problem")


def test_a_json_file_in_no_folder(refused: Refused, tmp_path: Path):
    path = tmp_path / "none" / "result.json"
    assert refused("archs", "--json", path) == f"json: there is no folder {path.parent}; make it or name another file"
    assert not path.parent.exists()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("ANDA_CACHE", str(folder))
    return folder


NEEDS_MODEL = ["report --out {}", "trace capture --out {}"]


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_a_model_that_is_not_fetched(refused: Refused, cache: Path, tmp_path: Path, command: str):
    out = tmp_path / "out"
    file = cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    message = f"model: {file} does not exist; run `anda fetch` or give the path of a GGUF file"
    assert refused(*command.format(out).split()) == message
    assert not out.exists()


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_a_model_file_that_is_truncated(refused: Refused, cache: Path, tmp_path: Path, command: str):
    out = tmp_path / "out"
    file = cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    message = f"model: {file} is damaged (its sha256 is {sha256}); run `anda fetch`"
    assert refused(*command.format(out).split()) == message
    assert not out.exists()


@pytest.mark.model
def test_a_text_that_is_truncated(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fetched = data_paths()
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    (tmp_path / fetched.model.name).symlink_to(fetched.model)
    text = tmp_path / fetched.wiki.name
    text.write_bytes(b"BZh9")
    message = f"text: {text} is damaged; remove it and run `anda fetch`"
    assert refused("report", "--out", tmp_path / "out") == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "report --model OPT-125M --out {}",
            "model: OPT-125M has no weights here; use SmolLM2-135M or give the path of a GGUF file",
        ),
        ("report --model none --out {}", f"model: 'none' is unknown; choose one of {MODELS}"),
        ("trace capture --model none --out {}", f"model: 'none' is unknown; choose one of {MODELS}"),
        (
            "trace capture --layers 1,x --out {}",
            "layers: '1,x' is not a list of numbers; write them as 0,11,29",
        ),
    ],
)
def test_what_needs_another_model(refused: Refused, tmp_path: Path, command: str, message: str):
    out = tmp_path / "out"
    assert refused(*command.format(out).split()) == message
    assert not out.exists()


READS_TRACE = ["trace info {}", "rtl check --trace {}", "formats compare --trace {}"]


@pytest.mark.parametrize("command", READS_TRACE)
def test_a_trace_that_is_missing(refused: Refused, tmp_path: Path, command: str):
    path = tmp_path / "none.safetensors"
    message = f"trace: {path} does not exist; capture one with `anda trace capture`"
    assert refused(*command.format(path).split()) == message


@pytest.mark.parametrize("command", READS_TRACE)
@pytest.mark.parametrize("kept", [0, 7, 300, -1])
def test_a_trace_that_is_truncated(refused: Refused, trace_file: Path, command: str, kept: int):
    content = trace_file.read_bytes()[:kept]
    trace_file.write_bytes(content)
    message = refused(*command.format(trace_file).split())
    assert message.startswith(f"trace: {trace_file} is truncated or no safetensors file (")
    assert message.endswith("); capture it again")
    assert trace_file.read_bytes() == content


@pytest.mark.parametrize("command", READS_TRACE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_trace_with_values_that_are_no_numbers(
    refused: Refused, trace: Trace, tmp_path: Path, command: str, value: float
):
    damaged = {name: values.copy() for name, values in trace.tensors.items()}
    damaged["activations.0.u"][2, 5] = value
    path = tmp_path / "damaged.safetensors"
    Trace(trace.metadata, damaged).save(path)
    message = f"trace: {path}: activations.0.u holds {value} at (2, 5); capture it again"
    assert refused(*command.format(path).split()) == message


def test_a_trace_of_something_else(refused: Refused, tmp_path: Path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, path)
    message = f"trace: {path} is no trace of this program; capture one with `anda trace capture`"
    assert refused("trace", "info", path) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--m 4,x", "m: '4,x' is not a list of mantissa widths; write them as 4,7,11"),
        ("--m 17", "m: 17 is out of range; use 1 to 16"),
        ("--layer 3", "layer: 3 was not captured; the trace holds 0"),
        ("--tokens 0", "tokens: 0 of 4 that the trace holds; use 1 to 4"),
        ("--tokens 5", "tokens: 5 of 4 that the trace holds; use 1 to 4"),
        ("--outputs 999", "outputs: 999 of 128 that the trace holds; use 1 to 128"),
    ],
)
def test_a_slice_that_the_trace_does_not_hold(refused: Refused, trace_file: Path, options: str, message: str):
    assert refused("rtl", "check", "--trace", trace_file, *options.split()) == message


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("rtl verilog anda-pe --out {}", "out"),
        ("rtl check --trace none --vcd {}", "vcd"),
        ("trace capture --out {}", "out"),
    ],
)
def test_files_that_exist_are_kept(refused: Refused, tmp_path: Path, command: str, field: str):
    path = tmp_path / "file"
    path.write_text("precious")
    message = f"{field}: {path} exists and is not overwritten; name another file"
    assert refused(*command.format(path).split()) == message
    assert path.read_text() == "precious"
    missing = tmp_path / "none" / "file"
    message = f"{field}: there is no folder {missing.parent}; make it or name another file"
    assert refused(*command.format(missing).split()) == message


def test_circuits_that_do_not_exist(refused: Refused):
    names = ", ".join(design_names())
    assert refused("rtl", "verilog", "gpu") == f"design: there is no 'gpu'; choose one of {names}"
    message = "lanes: 0 is not valid; choose an integer from 1 to 128"
    assert refused("rtl", "verilog", "anda-pe", "--lanes", 0) == message


def test_output_folders_that_are_not_empty_are_kept(refused: Refused, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    for out in (tmp_path / "out", sweep):
        message = f"out: {out} is not an empty folder and is not overwritten; name another one"
        assert refused("report", "--out", out) == message
        message = f"out: {out} is not empty and holds no sweep; name another folder"
        assert refused("sweep", sweep, "--out", out) == message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"
    assert sweep.read_text() == SWEEP


def test_an_output_folder_that_cannot_be_made(refused: Refused, tmp_path: Path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    below = sweep / "out"
    message = f"out: {below} cannot be made (Not a directory); name another folder"
    assert refused("sweep", sweep, "--out", below) == message


def test_keys_that_do_not_exist_in_an_architecture(refused: Refused, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text((ARCHITECTURES / "anda.yaml").read_text().replace("columns: 16", "columns: 16, depth: 4"))
    message = "architecture mine.yaml: array.depth: is not a key here; the keys are columns, rows"
    assert refused("simulate", "--model", "OPT-125M", "--m", 7, "--arch", path) == message


def test_keys_that_do_not_exist_in_a_technology(refused: Refused, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text((TECHNOLOGIES / "paper-16nm.yaml").read_text() + "\ncooling: water\n")
    message = refused("simulate", "--model", "OPT-125M", "--m", 7, "--technology", path)
    assert message.startswith("technology mine.yaml: cooling: is not a key here; the keys are activation_buffer, ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SWEEP + "coffee: [black]\n", r"coffee: is not a key here; the keys are architecture, archs, "),
        ("models: [OPT-125M]\n", "archs: is missing; add it"),
        ("models: [OPT-125M]\narchs: []\n", "archs: is []; "),
        ("", "holds no keys; give architecture, archs, "),
        ("models: [", "is not YAML ("),
    ],
)
def test_sweep_files_that_are_wrong(refused: Refused, tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    out = tmp_path / "out"
    assert refused("sweep", path, "--out", out).startswith(f"sweep mine.yaml: {message}")
    assert not out.exists()


def test_a_sweep_file_that_is_missing(refused: Refused, tmp_path: Path):
    path = tmp_path / "none.yaml"
    names = ", ".join(question_names())
    assert names.startswith("ablation, architectures, ")
    message = f"sweep: there is no file '{path}'; give a readable YAML file or one of {names}"
    assert refused("sweep", path, "--out", tmp_path / "out") == message
    message = f"sweep: 'weather' is unknown; choose one of {names} or give a path to a YAML file"
    assert refused("sweep", "weather", "--out", tmp_path / "out") == message


def test_a_folder_without_results(refused: Refused, tmp_path: Path):
    message = f"results: {tmp_path} holds no results.parquet; finish a sweep there with `anda sweep`"
    assert refused("results", tmp_path) == message
    (tmp_path / "results.parquet").write_bytes(b"PAR1")
    message = f"results: {tmp_path / 'results.parquet'} is damaged; remove it and run the sweep again"
    assert refused("results", tmp_path) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("simulate --model GPT-5 --m 7", f"model: 'GPT-5' is unknown; choose one of {MODELS}"),
        ("simulate --model OPT-125M", f"precision: anda needs one; {FOUR}"),
        ("nonsense", "No such command 'nonsense'; see 'anda --help'"),
    ],
)
def test_the_installed_program_does_the_same(arguments: str, message: str):
    program = Path(sys.executable).with_name("anda")
    run = subprocess.run([program, *arguments.split()], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"anda: error: {message}\n")

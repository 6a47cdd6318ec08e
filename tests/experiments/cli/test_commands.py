"""Each other command once, through the real command line, on synthetic data."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat
from anda_codesign.rtl import design_names
from anda_codesign.sim import architecture_names
from anda_codesign.workloads import MODULES, TextBlocks, Trace, capture_trace, model_names, synthetic_decoder

Run = Callable[..., Any]

HEAVY = ("numpy", "pandas", "numba", "matplotlib", "amaranth", "simpy", "pydantic")


@pytest.fixture(scope="module")
def trace_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    capture_trace(synthetic_decoder(), blocks, layers=(0, 1), tokens=4).save(path)
    return path


@pytest.fixture
def document(anda: Run) -> Callable[..., Any]:
    def run(*arguments: object) -> Any:
        answer = anda(*arguments, "--json", "-")
        assert (answer.status, answer.err) == (0, "")
        return json.loads(answer.out)

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--help"], ["--version"], ["nonsense"]])
def test_answers_without_work_load_nothing_heavy(arguments: list[str]):
    program = (
        "import sys\n"
        "from anda_codesign.experiments.cli import main\n"
        f"status = main({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(status)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    loaded_by_typer = {"['pydantic']"} if "simulate" in arguments or "nonsense" in arguments else set[str]()
    assert run.stderr.splitlines()[-1] in {"[]"} | loaded_by_typer
    assert run.returncode == (2 if arguments == ["nonsense"] else 0)


def test_help_names_every_command(anda: Run):
    answer = anda("--help")
    assert answer.status == 0
    for command in ("fetch", "models", "archs", "simulate", "sweep", "results", "report", "rtl", "trace", "formats"):
        assert f"\n  {command} " in answer.out


def test_version(anda: Run):
    from importlib.metadata import version

    assert anda("--version") == (0, f"anda {version('anda-codesign')}\n", "")


def test_models(anda: Run, document: Run):
    records = document("models")
    assert [record["name"] for record in records] == model_names()
    smol = next(record for record in records if record["name"] == "SmolLM2-135M")
    assert (smol["hidden"], smol["layers"], smol["kv_heads"], smol["gated"]) == (576, 30, 3, True)
    table = anda("models").out
    assert all(f" {name} " in table for name in model_names())


def test_archs(anda: Run, document: Run):
    records = document("archs")
    assert [record["name"] for record in records] == architecture_names()
    ours, baseline = (next(r for r in records if r["name"] == name) for name in ("anda", "fp-fp"))
    assert ours["area_mm2"] < baseline["area_mm2"]
    table = anda("archs").out
    assert all(f" {name} " in table for name in architecture_names())


@pytest.mark.parametrize("design", ["anda-pe", "bpc-lane"])
def test_rtl_verilog(anda: Run, tmp_path: Path, design: str):
    assert design in design_names()
    printed = anda("rtl", "verilog", design, "--lanes", 8)
    assert printed.status == 0
    assert "module " in printed.out
    path = tmp_path / "design.v"
    written = anda("rtl", "verilog", design, "--lanes", 8, "--out", path)
    assert (written.status, written.out) == (0, "")
    assert written.err.startswith(f"anda: note: wrote {path} (")
    assert path.read_text() == printed.out


def test_rtl_check(document: Run, trace_file: Path, tmp_path: Path):
    waveform = tmp_path / "pe.vcd"
    records = document("rtl", "check", "--trace", trace_file, "--m", 2, "--layer", 1, "--vcd", waveform)
    assert [(r["circuit"], r["module"]) for r in records] == [
        (circuit, module) for module in MODULES for circuit in ("anda-pe", "bpc-lane")
    ]
    for record in records:
        assert record["mismatches"] == 0
        assert record["compared"] > 0
        assert record["cycles"] == record["predicted_cycles"] > 0
    assert "$enddefinitions" in waveform.read_text()
    assert "bench.top.activation__valid" in waveform.with_suffix(".gtkw").read_text()
    assert "variable_add bench.top.activation__valid" in waveform.with_suffix(".sucl").read_text()


@pytest.mark.parametrize("mismatches", [0, 1])
def test_rtl_check_fails_where_circuit_and_format_disagree(
    anda: Run, trace_file: Path, monkeypatch: pytest.MonkeyPatch, mismatches: int
):
    from anda_codesign.experiments.circuits import circuit_check

    check = circuit_check.CircuitCheck(
        "anda-pe", "qkv", 3, compared=4, mismatches=mismatches, cycles=8, predicted_cycles=9
    )
    monkeypatch.setattr(circuit_check, "_check_module", lambda *_: [check])
    answer = anda("rtl", "check", "--trace", trace_file, "--m", 3)
    assert answer.status == mismatches
    assert f"Circuits on {trace_file}, layer 0 (Amaranth's simulator)\n" in answer.out
    assert f"anda-pe qkv 3 4 {mismatches} 8 9" in " ".join(answer.out.split())


def test_trace_info(anda: Run, document: Run, trace_file: Path):
    summary = document("trace", "info", trace_file)
    assert summary["metadata"]["model"] == "synthetic"
    assert [(a["layer"], a["module"]) for a in summary["activations"]] == [(i, m) for i in (0, 1) for m in MODULES]
    x = Trace.load(trace_file).activation(1, "d")
    last = summary["activations"][-1]
    assert (last["tokens"], last["channels"]) == x.shape
    assert last["largest"] == float(np.abs(x).max())
    assert 0 < last["mean_exponent_gap"] < 30
    assert "Activations entering the GeMMs" in anda("trace", "info", trace_file).out


def test_trace_planes(anda: Run, document: Run, trace_file: Path):
    records = document("trace", "planes", trace_file, "--m", "4-5", "--rows", "1,2")
    assert [(r["rows"], r["mantissa_bits"], r["module"]) for r in records] == [
        (rows, bits, module) for rows in (1, 2) for bits in (4, 5) for module in MODULES
    ]
    for record in records:
        format = AndaFormat(record["mantissa_bits"])
        bits = []
        for layer in (0, 1):
            x = Trace.load(trace_file).activation(layer, record["module"])
            mantissas = format.encode(x).mantissas()
            union = np.bitwise_or.reduce(mantissas.reshape(-1, record["rows"], *mantissas.shape[1:]), axis=(1, 3))
            bits.append(
                np.mean([sum(not word >> i & 1 for i in range(format.mantissa_bits - 1)) for word in union.flat])
            )
        assert record["zero_planes"] == pytest.approx(np.mean(bits))
        assert record["layer"] is None
        assert record["saving"] == pytest.approx(1 - record["group_cycles"] / (record["mantissa_bits"] + 1))
    by_layer = document("trace", "planes", trace_file, "--m", "4-5", "--rows", "1,2", "--by-layer")
    assert [r["layer"] for r in by_layer] == [0] * 16 + [1] * 16
    for mean, first, second in zip(records, by_layer[:16], by_layer[16:], strict=True):
        for field in ("zero_bits", "zero_planes", "group_cycles"):
            assert mean[field] == pytest.approx((first[field] + second[field]) / 2)
    for record in by_layer:
        mantissas = (
            AndaFormat(record["mantissa_bits"])
            .encode(Trace.load(trace_file).activation(record["layer"], record["module"]))
            .mantissas()
        )
        ones = np.bitwise_count(mantissas).mean() / record["mantissa_bits"]
        assert record["zero_bits"] == pytest.approx(1 - ones)
    shown = anda("trace", "planes", trace_file, "--by-layer", "--m", "4-5").out
    assert "Zero bits of the mantissas, and zero planes of a group of M = 5" in shown
    assert "Zero planes per group (cycles saved)" in anda("trace", "planes", trace_file).out
    for options, message in (
        (("--m", "x"), "m: 'x' .* 4-13"),
        (("--m", "9-4"), "m: '9-4' .* 4-13"),
        (("--rows", "x"), "rows: 'x' .* 1,16"),
        (("--rows", "0"), "rows: 0 .*"),
        (("--m", "4-17"), "m: '4-17' .* 4-13"),
    ):
        answer = anda("trace", "planes", trace_file, *options)
        assert answer.status == 2
        assert re.fullmatch(f"anda: error: {message}\n", answer.err)


@pytest.mark.model
def test_trace_capture(anda: Run, document: Run, tmp_path: Path):
    path = tmp_path / "real.safetensors"
    answer = anda("trace", "capture", "--layers", "0", "--tokens", 4, "--out", path)
    assert (answer.status, answer.out) == (0, "")
    assert answer.err.splitlines()[-1].startswith(f"anda: note: wrote {path} (")
    assert document("trace", "info", path)["metadata"]["model"] == "SmolLM2-135M"


def test_formats(anda: Run, document: Run):
    names = {record["name"] for record in document("formats")}
    assert {"anda", "figna"} < names
    assert " anda " in anda("formats").out


@pytest.mark.model
def test_fetch_keeps_what_is_there(anda: Run):
    from anda_codesign.workloads.fetch import data_paths

    answer = anda("fetch")
    assert answer.status == 0
    paths = data_paths()
    assert f"model: {paths.model}\ntext: {paths.wiki}\n" in answer.out
    for path in (paths.model, paths.wiki):
        assert f"anda: note: {path} is there\n" in answer.err


def test_options_that_exclude_each_other(refused: Callable[..., str], tmp_path: Path):
    out = tmp_path / "out"
    for options, message in (
        (("--blocks", 2), "blocks: .*hf"),
        (("--group-size", 2), "group_size: .*hf"),
        (("--hf", tmp_path, "--model", "OPT-125M"), "model: .*hf"),
    ):
        assert re.fullmatch(message, refused("trace", "capture", "--out", out, *options))
        assert not out.exists()


def test_an_interruption(anda: Run, monkeypatch: pytest.MonkeyPatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anda_codesign.experiments.catalog.list_architectures", interrupt)
    assert anda("archs") == (130, "", "anda: error: interrupted\n")


def test_every_command_has_short_help_an_example_and_json(anda: Run):
    import shlex

    import typer
    from anda_codesign.experiments.cli import app
    from anda_codesign.experiments.cli.help import GROUPS

    def commands(group: Any, words: tuple[str, ...] = ()):
        for name, command in group.commands.items():
            yield (*words, name), command
            if hasattr(command, "commands"):
                yield from commands(command, (*words, name))

    top = typer.main.get_command(app)
    assert set(top.commands) == {name for group in GROUPS.values() for name in group}  # type: ignore[attr-defined]
    for words, command in commands(top):
        shown = anda(*words, "-h")
        assert shown.status == 0
        example = " ".join(shown.out.partition("Example: ")[2].split())
        assert example.startswith("anda "), words
        called, *_ = [
            found for found in commands(top) if found[0] == tuple(shlex.split(example)[1 : 1 + len(found[0])])
        ][-1:]
        options = {flag for parameter in called[1].params for flag in parameter.opts}
        assert {word.partition("=")[0] for word in shlex.split(example) if word.startswith("--")} <= options, example
        if not hasattr(command, "commands") or words[0] in ("models", "formats"):
            assert "--json" in shown.out, words


def test_shell_completion(monkeypatch: pytest.MonkeyPatch, anda: Run):
    monkeypatch.setenv("_ANDA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "anda sim")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert anda() == (0, "simulate\n", "")


def test_near_names_are_suggested(anda: Run):
    for arguments, near in (
        (("--model", "llama7b"), "LLaMA-7B"),
        (("--model", "LLaMA-7B", "--arch", "fp_fp"), "fp-fp"),
        (("--model", "LLaMA-7B", "--technology", "asap"), "asap7"),
    ):
        answer = anda("simulate", *arguments)
        assert answer.status == 2 and answer.err.endswith(f"; did you mean {near!r}?\n")


def test_doctor_tells_what_is_missing(
    document: Callable[..., Any], anda: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "block").write_bytes(bytes(1000))
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    found = document("doctor")
    assert found["cache"] == {"folder": str(tmp_path), "bytes": 1000, "parts": {"evaluations": 1000}}
    assert {tool["place"] for tool in found["tools"]} == {None}
    assert {"hf", "rtl", "search", "cluster"} <= {extra["name"] for extra in found["extras"]}
    assert "run `anda fetch`" in found["advice"][0] and found["packages"]["numpy"]
    assert "missing" in anda("doctor").out


def test_tables_fit_the_screen_without_a_broken_word(monkeypatch: pytest.MonkeyPatch, anda: Run):
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (
        ("archs",),
        ("models",),
        ("simulate", "--model", "LLaMA-7B", "--whole"),
        ("formats",),
        ("plugins",),
    ):
        lines = anda(*arguments).out.splitlines()
        assert max(map(len, lines)) <= 80, max(lines, key=len)
    words = anda("simulate", "--model", "LLaMA-7B").out.split()
    assert "activations:256x4096x64:single/double:array" in words and "energy," in words

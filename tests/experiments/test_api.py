"""The public functions of `anda_codesign`: typed keywords of one definition, objects or names, and what commands print."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from anda_codesign.experiments.cli import app
from anda_codesign.experiments.options.option import REQUIRED, Described, command_line, described
from anda_codesign.experiments.options.reports import ReportOptions
from anda_codesign.experiments.options.simulation import SimulationOptions
from anda_codesign.formats import InputError
from anda_codesign.sim import load_architecture, load_technology
from anda_codesign.workloads import Gemm, TextBlocks, capture_trace, model_shape, synthetic_decoder

import anda_codesign
from anda_codesign import ModelShape, Precision

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
FUNCTIONS = {
    name: getattr(anda_codesign, name)
    for name in anda_codesign.__all__
    if inspect.isfunction(getattr(anda_codesign, name)) and name not in ("fp_int_gemm", "load_plugin", "register")
}
QUESTIONS = {name: function for name, function in FUNCTIONS.items() if not name.startswith("list_")}
GEMM = {"gemm": "16x64x64", "precision": 7}
SMALL = {"model": "OPT-125M", "precision": 7, "tokens": 16}


def options_of(name: str) -> tuple[Described, ...]:
    answer = inspect.unwrap(QUESTIONS[name])
    (parameter,) = inspect.signature(answer, eval_str=True).parameters.values()
    assert dataclasses.is_dataclass(parameter.annotation)
    return described(parameter.annotation)  # type: ignore[arg-type]


def test_the_root_is_light_and_names_what_it_has():
    code = (
        "import sys, time; start = time.perf_counter(); import anda_codesign; taken = time.perf_counter() - start\n"
        "print(taken, [name for name in ('numpy', 'pandas', 'pydantic', 'typer') if name in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert {run.stdout.split(maxsplit=1)[1] for run in runs} == {"[]\n"}
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.1
    assert set(anda_codesign.__all__) | {"__version__"} <= set(dir(anda_codesign))
    assert re.fullmatch(r"\d+\.\d+\.\d+", anda_codesign.__version__)
    text = Path(anda_codesign.__file__ or "").read_text()
    for name in anda_codesign.__all__:
        assert f"import {name} as {name}\n" in text, "type checkers and editors resolve it"
        assert f"`{name}` " in (anda_codesign.__doc__ or "")
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        anda_codesign.simulat  # noqa: B018


def test_signatures_are_typed_keywords_of_frozen_options():
    for name, function in QUESTIONS.items():
        fields = options_of(name)
        parameters = inspect.signature(function).parameters
        assert list(parameters) == [field.name for field in fields], name
        for parameter, field in zip(parameters.values(), fields, strict=True):
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert str(parameter.annotation) == field.type_text != ""
            assert parameter.default is field.default
        options = inspect.signature(inspect.unwrap(function), eval_str=True).parameters["options"].annotation
        assert options.__dataclass_params__.frozen


def test_help_shows_every_option_with_unit_and_default():
    for name in QUESTIONS:
        text = inspect.getdoc(QUESTIONS[name]) or ""
        assert "\n\nParameters\n----------\n" in text
        assert "\n\nReturns\n-------\n" in text
        for field in options_of(name):
            unit = "" if field.option.unit is None else f", in {field.option.unit}"
            default = ", required" if field.default is REQUIRED else f", default {field.default!r}"
            assert f"\n{field.name} : {field.type_text}{unit}{default}\n    {field.option.help}" in text


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command of the program."""
    inner = getattr(command, "commands", {})
    if words and (not inner or any("--json" in parameter.opts for parameter in command.params)):
        yield " ".join(words)
    for name, sub in inner.items():
        yield from commands(sub, (*words, name))


def test_every_command_and_function_is_on_the_page():
    table = PAGE[PAGE.index("| command | function |") :]
    assert [words for words in commands(typer.main.get_command(app)) if f"`anda {words}`" not in table] == []
    assert [name for name in FUNCTIONS if f"`{name}`" not in table] == []


def test_a_word_that_is_not_an_option():
    with pytest.raises(TypeError, match=r"^simulate\(\) got an unexpected keyword argument 'tokns'"):
        anda_codesign.simulate(model="OPT-125M", tokns=4)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^simulate\(\) missing 1 required keyword-only argument: 'model'$"):
        anda_codesign.simulate()  # type: ignore[call-arg]
    with pytest.raises(InputError, match=r"^model: 'GPT-5' is unknown"):
        anda_codesign.simulate(model="GPT-5", precision=7)
    with pytest.raises(InputError, match=r"^model: .* a gemm$"):
        anda_codesign.explain(precision=7)


def test_the_command_of_options():
    asked = SimulationOptions(
        model=model_shape("OPT-125M"), precision=Precision(7, 5, 6, 6), whole=True, timeline="a b"
    )
    words = "anda simulate --model OPT-125M --precision 7,5,6,6 --whole --timeline 'a b'"
    assert command_line("simulate", asked) == words
    assert command_line("simulate", asked, ["my.py"]) == words.replace("simulate", "simulate --plugin my.py")


def test_the_command_repeats_an_option():
    asked = ReportOptions(out="o", activations=["fast mantissa_bits=2", "mxint8"])
    assert command_line("report", asked) == (
        "anda report --out o --activations 'fast mantissa_bits=2' --activations mxint8"
    )


def test_names_and_objects_mean_the_same():
    named = anda_codesign.simulate(**SMALL).to_dict()
    shape: ModelShape = model_shape("OPT-125M")
    for precision in (Precision(7, 7, 7, 7), "7,7,7,7", (7, 7, 7, 7)):
        assert anda_codesign.simulate(model=shape, precision=precision, tokens=16).to_dict() == named
    machine, technology = load_architecture("anda"), load_technology("paper-16nm")
    objects = anda_codesign.simulate(model=shape, arch=machine, precision=7, tokens=16, technology=technology)
    assert objects.to_dict() == named
    assert (objects.cycles, objects.energy_pj.total) == (named["cycles"], named["energy_pj"]["total"])
    gemm = Gemm.parse("16x64x64")
    assert (
        anda_codesign.simulate_gemm(gemm=gemm, precision=7).to_dict() == anda_codesign.simulate_gemm(**GEMM).to_dict()
    )


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    capture_trace(synthetic_decoder(), blocks, layers=(0,), tokens=4).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "options", "command", "columns"),
    [
        ("list_models", {}, "models", {"name", "layers", "macs_per_token"}),
        ("describe_model", {"model": "OPT-125M"}, "models show OPT-125M", {"name", "parameters", "kv_bytes"}),
        ("list_architectures", {}, "archs", {"name", "area_mm2"}),
        ("list_formats", {}, "formats", {"name", "parameters.mantissa_bits"}),
        ("simulate_gemm", GEMM, "simulate --gemm 16x64x64 --m 7", {"arch", "cycles", "energy_pj.total"}),
        (
            "simulate",
            {**SMALL, "whole": True, "level": "events"},
            "simulate --model OPT-125M --m 7 --tokens 16 --whole --level events",
            {"fp_int_share"},
        ),
        ("explain", GEMM, "explain --gemm 16x64x64 --m 7", {"quantity", "count", "unit", "total"}),
        (
            "reproduce",
            {"figure": "fig18"},
            "reproduce fig18",
            {"figure", "quantity", "published", "ours", "deviation", "kind"},
        ),
        ("trace_info", {"trace": "TRACE"}, "trace info TRACE", {"module"}),
        ("trace_planes", {"trace": "TRACE", "m": (4, 5), "rows": 1}, "trace planes TRACE --m 4-5 --rows 1", {"module"}),
        ("compare_formats", {"trace": "TRACE"}, "formats compare --trace TRACE", {"name", "snr_db.qkv"}),
        (
            "check_circuits",
            {"trace": "TRACE", "m": (4,), "layer": 0},
            "rtl check --trace TRACE --m 4 --layer 0",
            {"mismatches"},
        ),
    ],
)
def test_results_are_what_commands_print(
    name: str,
    options: dict[str, Any],
    command: str,
    columns: set[str],
    trace: Path,
    anda: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    given = {key: trace if value == "TRACE" else value for key, value in options.items()}
    result = FUNCTIONS[name](**given)
    answer = anda(*command.replace("TRACE", str(trace)).split(), "--json", "-")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out) == json.loads(json.dumps(result.to_dict()))
    frame = result.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) > 0
    assert columns <= set(frame.columns)


def test_a_sweep_and_its_results(tmp_path: Path, anda: Callable[..., Any]):
    file = tmp_path / "sweep.yaml"
    file.write_text("models: OPT-125M\narchs: [anda, fp-fp]\nmantissa_bits: [5, 7]\ntokens: 16\n")
    out = tmp_path / "out"
    swept = anda_codesign.sweep(file=file, out=out)
    assert len(swept.to_frame()) == len(swept.to_dict()) == 3
    given: dict[str, Any] = {"folder": out, "pareto": ["seconds", "area_mm2"]}
    printed = json.loads(anda("results", out, "--pareto", "seconds,area_mm2", "--json", "-").out)
    assert anda_codesign.results(**given).to_dict() == printed
    counted = anda_codesign.results(folder=out, sql="SELECT count(*) AS points FROM results").to_frame()
    assert counted["points"].tolist() == [3]


def test_no_room_captures_what_it_prints():
    rooms = ("formats", "workloads", "rtl", "sim", "experiments")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert [path.name for path in files if "redirect_stdout" in path.read_text("utf-8")] == []


def test_arguments_of_wrong_types_are_refused_by_field() -> None:
    for field, arguments in (
        ("arch", {"arch": {"name": "anda"}, "gemm": "64x64x64"}),
        ("gemm", {"gemm": (64, 64, 64)}),
        ("precision", {"gemm": "64x64x64", "precision": 7.0}),
        ("precision", {"gemm": "64x64x64", "precision": True}),
        ("precision", {"gemm": "64x64x64", "precision": (7, 5, 6, 6)}),
        ("midpoint", {"gemm": "64x64x64", "midpoint": "no"}),
        ("mapping", {"gemm": "64x64x64", "mapping": 3}),
        ("arch", {"gemm": "64x64x64", "arch": Precision.uniform(7)}),
        ("memory", {"gemm": "64x64x64", "memory": Precision.uniform(7)}),
    ):
        with pytest.raises(InputError, match=f"^{field}: "):
            anda_codesign.simulate_gemm(**({"precision": 7} | arguments))
    with pytest.raises(InputError, match=r"^tokens: does not apply to a single GeMM"):
        anda_codesign.explain(gemm="64x64x64", precision=7, tokens=5)
    with pytest.raises(InputError, match=r"^trace: "):
        anda_codesign.trace_info(trace=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^m: is empty"):
        anda_codesign.trace_planes(trace="none", m=[])
    with pytest.raises(InputError, match=r"^m: is empty"):
        anda_codesign.check_circuits(trace="none", m=range(0))
    with pytest.raises(InputError, match=r"^scoreboard: "):
        anda_codesign.reproduce(figure="machine", out=None, scoreboard="page.md")
    with pytest.raises(TypeError, match="takes keywords only"):
        anda_codesign.simulate("LLaMA-7B")  # type: ignore[call-arg]


def test_numbers_of_numpy_are_plain_in_documents() -> None:
    result = anda_codesign.simulate(model="OPT-125M", precision=np.int64(7), tokens=np.int64(64))
    assert json.loads(json.dumps(result.to_dict()))["tokens"] == 64


def test_one_number_stands_for_all_modules() -> None:
    seven = [anda_codesign.simulate_gemm(gemm="64x64x64", precision=bits).cycles for bits in (7, "7", (7, 7, 7, 7))]
    assert len(set(seven)) == 1


def test_a_result_shows_its_plain_fields() -> None:
    result = anda_codesign.simulate_gemm(gemm="64x64x64", precision=7)
    assert repr(result).startswith("<Simulation gemm='64x64x64'")
    assert len(repr(result)) < 400

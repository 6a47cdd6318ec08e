"""Perplexity and the machine's options as dimensions of a sweep."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.inputs import evaluation_cache
from anda_codesign.experiments.simulation import simulate
from anda_codesign.experiments.sweep import evaluation
from anda_codesign.experiments.sweep.evaluation import LOSS_COLUMNS, Evaluation, activation_hook
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.activations.chained import ChainedFormat
from anda_codesign.formats.activations.registry import activation_format
from anda_codesign.formats.named_format import NamedFormat
from anda_codesign.formats.plugins import load_plugin, load_plugins, loaded_plugins
from anda_codesign.sim import architecture_names, load_architecture
from anda_codesign.sim.config.processing_element import Arithmetic
from anda_codesign.workloads import (
    AndaActivations,
    FormatActivations,
    Fp16Activations,
    Precision,
    TextBlocks,
    evaluate,
    paired_loss,
    synthetic_decoder,
)
from anda_codesign.workloads.inference.hooks import AndaArithmetic, FormatArithmetic
from cases import each
from processes import hash_in_a_worker

FIELDS: dict[str, Any] = {"models": "SmolLM2-135M", "tokens": 16}
M8 = Precision.uniform(8)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small random model in place of the built-in one."""
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    decoder = synthetic_decoder(seed=1)
    tokens = np.random.default_rng(1).integers(0, decoder.shape.vocabulary, (3, 24), dtype=np.int32)
    subject = decoder, TextBlocks(tokens)
    monkeypatch.setattr(evaluation, "_subject", lambda _: subject)
    return subject


def test_losses_are_those_of_the_point_s_own_format(small: Any, tmp_path: Path):
    spec = SweepSpec(
        **FIELDS, archs=("fp-fp", "figna-m8", "anda"), mantissa_bits=(4, 8), reconstructions=("truncate", "midpoint"),
        evaluation=Evaluation(blocks=3),
    )  # fmt: skip
    frame = run_sweep(spec, tmp_path / "out")
    assert len(frame) == 2 + 2 * 2
    decoder, blocks = small
    reference = evaluate(decoder, blocks, Fp16Activations())
    for row in frame.to_dict("records"):
        options = {"reconstruct": row["reconstruct"]}
        if row["arch"] == "anda":
            nll = evaluate(decoder, blocks, AndaActivations(Precision.parse(row["precision"]), **options))
            loss = paired_loss(nll, reference)
            assert row["loss_percent"] == 100 * loss.loss
            assert row["loss_standard_error_percent"] == 100 * loss.standard_error
            assert row["perplexity"] == loss.perplexity
    assert frame["loss_percent"][0] == 0
    assert frame["loss_percent"][1] != 0
    anda = frame[frame["arch"] == "anda"]
    assert anda["loss_percent"].nunique() == 4
    assert anda.groupby("precision")["cycles"].nunique().max() <= 2


def test_the_group_of_the_evaluation_is_that_of_the_machine():
    machine = load_architecture("anda")
    element = machine.processing_element.model_copy(update={"lanes": 32})
    hook = activation_hook(machine.model_copy(update={"processing_element": element}), M8, "nearest", "midpoint")
    assert hook == AndaActivations(M8, group_size=32, rounding="nearest", reconstruct="midpoint")


def test_the_arithmetic_of_other_architectures():
    expected = {
        "fp-fp": Fp16Activations(),
        "fp-int": Fp16Activations(),
        "ifpu": FormatActivations(activation_format("ifpu")),
        "figna-m11": AndaActivations(Precision.uniform(11)),  # the same values, so the same measurement
    }
    for arch, hook in expected.items():
        assert activation_hook(load_architecture(arch), M8, "truncate", "truncate") == hook


@each("name", architecture_names())
def test_a_renamed_element_has_the_same_loss(name: str):
    machine = load_architecture(name)
    renamed = machine.processing_element.model_copy(update={"kind": "renamed"})
    copy = machine.model_copy(update={"processing_element": renamed, "name": "renamed"})
    assert activation_hook(copy, M8, "truncate", "truncate") == activation_hook(machine, M8, "truncate", "truncate")


def test_the_arithmetic_is_what_an_element_states():
    machine = load_architecture("anda")

    def hook(arch: str, bits: Precision = M8, **arithmetic: str) -> Any:
        found = load_architecture(arch)
        element = found.processing_element.model_copy(update={"arithmetic": Arithmetic.model_validate(arithmetic)})
        return activation_hook(found.model_copy(update={"processing_element": element}), bits, "truncate", "truncate")

    fast = activation_format("fast", mantissa_bits=2)
    assert hook("fp-fp", format="fast mantissa_bits=2") == FormatActivations(fast)
    assert hook("figna-m8", format="figna") == AndaActivations(M8)
    mixed = hook("anda", Precision(4, 5, 6, 7), format="figna")
    read = ChainedFormat(
        AndaFormat(5), activation_format("figna", mantissa_bits=5)
    )  # elements read what the memory holds
    assert dict(mixed.modules)["o"] == FormatActivations(read)
    assert hook("anda", partial="fp16") == AndaArithmetic(M8, "fp16", rounding="truncate", reconstruct="truncate")
    assert hook("fp-fp", format="fast mantissa_bits=2", partial="fp32") == FormatArithmetic((fast,) * 4, 64, "fp32")
    with pytest.raises(ValueError, match="format: 'os:system' names a module"):
        hook("fp-fp", format="os:system")
    assert machine.processing_element.arithmetic == Arithmetic()


def test_an_element_that_does_not_say_how_it_computes_has_no_loss(small: Any, tmp_path: Path):
    assert small
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: figna-m8\nprocessing_element: {kind: figna-m8, lanes: 64, cycles_per_group: 8, weight_operand: int, "
        "mantissa_bits: 8}\n"
    )
    spec = SweepSpec(**FIELDS, archs=("figna-m8", str(path)), evaluation=Evaluation(blocks=3))
    frame = run_sweep(spec, tmp_path / "out")
    assert list(frame[list(LOSS_COLUMNS)].isna().all(axis=1)) == [False, True]


def test_an_unknown_area_is_blank_and_refused_where_it_is_asked_for(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: figna\nprocessing_element: {kind: mine, lanes: 64, cycles_per_group: 8, weight_operand: int, mantissa_bits: 8, "
        "energy_per_cycle: {relative_to: figna, value: 0.5}}\n"
    )
    fields = FIELDS | {"archs": ("figna", str(path))}
    frame = run_sweep(SweepSpec(**fields), tmp_path / "out")
    assert list(frame["area_mm2"].isna()) == [False, True]
    for asked in ({"constraints": ("area_mm2 < 4",)}, {"derived": {"density": "macs / area_mm2"}}):
        spec = SweepSpec(**fields, **asked)
        message = refusal(partial(run_sweep, spec, tmp_path / next(iter(asked))))
        assert message == (
            f"area_mm2: is unknown on {path}; add area to its processing_element, or leave area_mm2 out of constraints, "
            "derived and minimise"
        )


def test_losses_meet_constraints_and_derive(small: Any, tmp_path: Path):
    assert small
    spec = SweepSpec(
        **FIELDS, archs=("anda",), mantissa_bits=(3, 5, 12), evaluation=Evaluation(blocks=3),
        constraints=("loss_percent < 1000",), derived={"score": "perplexity * seconds"},
    )  # fmt: skip
    frame = run_sweep(spec, tmp_path / "out")
    assert (frame["score"] == frame["perplexity"] * frame["seconds"]).all()
    assert not (set(LOSS_COLUMNS) - set(frame.columns))


def test_zero_planes_are_counted_on_the_model(small: Any, tmp_path: Path):
    spec = SweepSpec(
        **FIELDS, archs=("figna", "anda"), mantissa_bits=(12,), zero_planes=("sent", "skipped"),
        evaluation=Evaluation(blocks=3), architecture={"array.rows": (1,)},
    )  # fmt: skip
    frame = run_sweep(spec, tmp_path / "out").set_index(["arch", "zero_planes"])
    assert len(frame) == 3
    assert frame["cycles"]["anda", "skipped"] < frame["cycles"]["anda", "sent"]
    assert frame["loss_percent"]["anda", "skipped"] == frame["loss_percent"]["anda", "sent"]
    machine = load_architecture("anda")
    counted = evaluation.group_cycles(Evaluation(blocks=3), machine, Precision.uniform(12), "truncate")
    evaluation._activations.cache_clear()
    assert set(counted) == {"qkv", "o", "u", "d"}
    assert all(4 <= cycles <= 13 for cycles in counted.values())


OWN_CLASS = """
from anda_codesign import register
from anda_codesign.formats import AndaFormat

@register
class Halves(AndaFormat):
    name = "halves"
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A file that registers the format ``halves``."""
    path = tmp_path / "halves_of_mine.py"
    path.write_text(OWN_CLASS)
    yield path
    load_plugins(())


def test_named_formats_and_formats_of_one_s_own(small: Any, tmp_path: Path, plugin: Path):
    formats = ("own", "anda mantissa_bits=4", "halves mantissa_bits=4", "fast mantissa_bits=2")
    load_plugin(plugin)
    spec = SweepSpec(**FIELDS, archs=("fp-int",), formats=formats, evaluation=Evaluation(blocks=3))
    frame = run_sweep(spec, tmp_path / "out").set_index("format")
    assert frame["loss_percent"]["own"] == 0
    assert frame["loss_percent"]["anda mantissa_bits=4"] == frame["loss_percent"]["halves mantissa_bits=4"]
    assert frame["format_bits"].tolist() == [16.0, 5.078125, 5.078125, 3.3125]
    (before,) = SweepSpec(**FIELDS, archs=("fp-int",), formats=formats[2:3], evaluation=Evaluation()).points()
    key, decoder, blocks = before.key, *small
    kept = sorted((tmp_path / "cache").rglob("nll-*"))
    plugin.write_text(OWN_CLASS + "# changed")
    load_plugin(plugin)
    assert before.key != key
    evaluate(decoder, blocks, FormatActivations(activation_format("halves", mantissa_bits=4)), evaluation_cache())
    assert len(sorted((tmp_path / "cache").rglob("nll-*"))) == len(kept) + len(blocks.tokens)


def test_workers_have_the_formats_of_one_s_own(tmp_path: Path, plugin: Path):
    load_plugin(plugin)
    own = [named.source_sha256 for named in (NamedFormat.parse("halves mantissa_bits=4"),)]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(hash_in_a_worker, loaded_plugins(), "halves mantissa_bits=4").result()
    assert [found] == own


BAD_FORMATS = {
    "int3": "formats: 'int3'",
    "fast bits": "formats: 'bits'",
    "nowhere:Format": "formats: 'nowhere:Format' names a module, and data files run no code",
    "subprocess:Popen args=true": "formats: 'subprocess:Popen' names a module",
    "halves mantissa_bits=4": "formats: 'halves'",
}


@pytest.mark.parametrize("text", BAD_FORMATS)
def test_formats_that_are_refused(text: str):
    assert refusal(lambda: NamedFormat.parse(text).build()).startswith(BAD_FORMATS[text])


def test_options_of_the_machine_reach_the_simulator(tmp_path: Path):
    spec = SweepSpec(
        **FIELDS, archs=("anda",), mantissa_bits=(7,), phases=("decode",), contexts=(64,), batches=(1, 2),
        weights=("own", "squeezellm-3"), scopes=("gemms", "model"),
    )  # fmt: skip
    frame = run_sweep(spec, tmp_path / "out")
    assert len(frame) == 8
    for row in frame.to_dict("records"):
        record = simulate(
            model=row["model"], precision=7, phase="decode", tokens=16, context=64, batch=row["batch"],
            weights=None if row["weights"] == "own" else row["weights"], whole=row["scope"] == "model",
        ).to_dict()  # fmt: skip
        assert row["cycles"] == record["cycles"]
        assert row["energy_total_pj"] == record["energy_pj"]["total"]
    assert frame["energy_total_pj"].nunique() == 8


def test_memory_and_cache_formats_reach_the_simulator(tmp_path: Path):
    fields: dict[str, Any] = {**FIELDS, "tokens": 8, "archs": ("anda",), "mantissa_bits": (7,)}
    memories = run_sweep(SweepSpec(**fields, levels=("events",), memories=("flat", "hbm2")), tmp_path / "memories")
    assert memories["cycles"].nunique() == 2
    long = {**fields, "phases": "decode", "contexts": 2048, "scopes": "model", "kv_caches": ("fp16", "anda:6")}
    caches = run_sweep(SweepSpec(**long), tmp_path / "caches")
    assert caches["dram_bytes"][1] < caches["dram_bytes"][0]


def test_what_is_refused(tmp_path: Path):
    def anda(**fields: Any) -> Callable[[], Any]:
        return lambda: run_sweep(SweepSpec(**FIELDS, archs=("anda",), mantissa_bits=(7,), **fields), tmp_path / "out")

    message = "roundings: nearest is measured on a model"
    assert refusal(anda(roundings=("nearest",))).startswith(message)
    message = "zero_planes: skipped is measured on a model"
    assert refusal(anda(zero_planes=("skipped",))).startswith(message)
    assert refusal(anda(zero_planes=("lost",), evaluation=Evaluation())).startswith("zero_planes: 'lost'")
    assert refusal(anda(scopes=("universe",))).startswith("scopes: 'universe'")
    assert refusal(lambda: Evaluation(blocks=1)).startswith("evaluation.blocks: 1")
    assert refusal(anda(weights=("int5",))).startswith("weight format: 'int5'")
    assert refusal(anda(kv_caches=("anda:6",))).startswith("kv_cache: 'anda:6' applies to whole models only")


def test_evaluation_in_a_file(tmp_path: Path):
    from anda_codesign.experiments.sweep.spec import load_spec

    file = tmp_path / "sweep.yaml"
    file.write_text(
        "models: SmolLM2-135M\narchs: anda\nmantissa_bits: 7\nevaluation: {blocks: 3, split: calibration}\n"
    )
    assert load_spec(file).evaluation == Evaluation(blocks=3, split="calibration")
    file.write_text("models: SmolLM2-135M\narchs: anda\nmantissa_bits: 7\nevaluation: {block: 3}\n")
    assert refusal(lambda: load_spec(file)).startswith("sweep sweep.yaml: evaluation.block: ")

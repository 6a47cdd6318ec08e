import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.cli import main
from anda_codesign.experiments.precision_search.cost import prepare_cost
from anda_codesign.experiments.precision_search.loss import Texts
from anda_codesign.experiments.precision_search.plan import SearchPlan, plan_search
from anda_codesign.experiments.precision_search.precision_study import PrecisionSearch
from anda_codesign.experiments.precision_search.search_figure import search_figure
from anda_codesign.experiments.precision_search.search_space import Choice
from anda_codesign.formats import InputError
from anda_codesign.workloads import (
    AndaActivations,
    Decoder,
    FormatActivations,
    Precision,
    TextBlocks,
    bops_saving,
    synthetic_decoder,
)

SYNTHETIC = synthetic_decoder()
SENSITIVITY = {"qkv": 1.0, "o": 0.1, "u": 1.5, "d": 0.5}


class MadeUpDecoder(Decoder):
    """A decoder whose loss follows from the mantissa bits, with a spread from block to block."""

    def __init__(self) -> None:
        super().__init__(SYNTHETIC.weights, SYNTHETIC.tokenizer, SYNTHETIC.sha256)

    def nll(self, blocks, hook=None):  # type: ignore[no-untyped-def]
        nll = np.full((1, blocks.shape[1] - 1), 3.0)
        if not isinstance(hook, AndaActivations):
            return nll
        cost = sum(weight * 4.0 ** (7 - hook.format(module).mantissa_bits) for module, weight in SENSITIVITY.items())
        noise = np.random.default_rng(int(blocks[0, 0])).normal(0, 0.02)
        return nll + 0.003 * cost * (1 + noise) * (2 if blocks[0, 0] >= 1000 else 1) - 0.002


def blocks(first: int) -> TextBlocks:
    return TextBlocks(np.arange(first, first + 16, dtype=np.int32)[:, None] * np.ones((1, 4), np.int32))


DECODER = MadeUpDecoder()


def search(tolerance: float = 0.01, **options: Any) -> PrecisionSearch:
    return PrecisionSearch(DECODER, Texts(blocks(0), blocks(100)), tolerance, **options)


STUDY = search().search()


def test_history_holds_the_measured_losses():
    for step in STUDY.history:
        cost = sum(4.0 ** (7 - getattr(step.precision, module)) * s for module, s in SENSITIVITY.items())
        assert step.verdict.loss.loss == pytest.approx(np.expm1(0.003 * cost - 0.002), rel=0.1)
        assert step.bops_saving == bops_saving(DECODER.shape, step.precision)
        assert step.step.best == (step.verdict.loss.loss <= 0.01)


def test_best_is_checked_on_heldout_blocks():
    assert STUDY.best is not None
    assert STUDY.heldout is not None
    assert STUDY.best.verdict.decision == "within"
    assert STUDY.heldout.decision == "within"
    assert STUDY.heldout.loss != STUDY.best.verdict.loss
    assert STUDY.best.bops_saving == max(step.bops_saving for step in STUDY.history if step.step.best)


def test_record_is_json_with_the_result_on_top():
    record = json.loads(json.dumps(STUDY.record(), allow_nan=False))
    assert STUDY.best is not None
    assert Precision.parse(record["best"]) == STUDY.best.precision
    assert record["iterations"] == len(record["history"]) == len(STUDY.history)
    best = next(step for step in record["history"] if step["precision"] == record["best"])
    for key in ("loss", "loss_standard_error", "decision", "bops_saving"):
        assert record[key] == best[key]
    assert record["heldout"]["blocks"] == STUDY.heldout.blocks  # type: ignore[union-attr]


def test_nothing_within_tolerance():
    study = search(tolerance=0.0).search(iterations=2)
    record = study.record()
    assert (study.best, study.heldout, record["best"], record["loss"], record["heldout"]) == (None,) * 5
    assert record["iterations"] == 2


def test_steps_are_reported_as_they_finish():
    seen: list[str] = []
    study = search(on_step=lambda step: seen.append(str(step.precision))).search()
    assert seen == [str(step.precision) for step in study.history]


def test_figure_shows_every_step():
    losses, savings = search_figure(STUDY).axes
    assert [label.get_text() for label in savings.get_xticklabels()] == [str(s.precision) for s in STUDY.history]
    bars = sorted(savings.patches, key=lambda bar: bar.get_x())
    assert [bar.get_height() for bar in bars] == [step.bops_saving for step in STUDY.history]
    assert [bool(bar.get_hatch()) for bar in bars] == [step.step.best for step in STUDY.history]
    assert list(losses.lines[0].get_ydata()) == [100 * step.verdict.loss.loss for step in STUDY.history]


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from anda_codesign import workloads

    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(workloads, "load_decoder", lambda _: DECODER)
    monkeypatch.setattr(
        type(DECODER),
        "blocks",
        lambda _decoder, text, split, *_: blocks(100 * (split == "heldout") + 1000 * (text == "brown")),
    )


@pytest.mark.usefixtures("made_up")
def test_command_prints_json(capsys: pytest.CaptureFixture[str]):
    assert main(["search", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["best"] == STUDY.record()["best"]
    assert {"best", "iterations", "history", "loss", "loss_standard_error", "bops_saving"} <= record.keys()


@pytest.mark.usefixtures("made_up")
def test_command_prints_a_line_per_step(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["search", "--plot", str(tmp_path / "a.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["qkv,o,u,d", "BOPs", "saving", "loss", "%", "±", "%", "blocks", "decision"]
    assert [line.split()[1] for line in lines[1:-2]] == [str(step.precision) for step in STUDY.history]
    assert lines[-2].startswith(f"Best: {STUDY.record()['best']}, ")
    assert lines[-1].endswith("blocks: within.")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("made_up")
def test_command_without_a_result(capsys: pytest.CaptureFixture[str]):
    assert main(["search", "--tolerance", "0", "--iterations", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("is within 0 %.")


@pytest.mark.usefixtures("made_up")
def test_another_format_is_measured_on_the_texts_of_the_search_and_judged_by_its_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A format that loses half of the tolerance on the first text, and more than all of it on the second."""

    def nll(decoder: Decoder, blocks: Any, hook: Any = None) -> Any:
        if not isinstance(hook, FormatActivations):
            return known(decoder, blocks, hook)
        noise = np.random.default_rng(int(blocks[0, 0])).normal(0, 0.1)
        return known(decoder, blocks) + 0.005 * (1 + noise) * (3 if blocks[0, 0] >= 1000 else 1)

    def other(*options: str) -> dict[str, Any]:
        assert main(["search", "--iterations", "1", *options, "--activations", "mxint8", "--json", "-"]) == 0
        return json.loads(capsys.readouterr().out)["activations"]

    known = MadeUpDecoder.nll
    monkeypatch.setattr(MadeUpDecoder, "nll", nll)
    plain = other()
    assert plain["loss_percent"] == pytest.approx(0.5, rel=0.1)
    assert plain["within_tolerance"]
    second = other("--second-text", "brown")
    assert second["loss_percent"] == pytest.approx(1.5, rel=0.1)
    assert not second["within_tolerance"]
    assert other("--text", "brown", "--tolerance", "0.02")["within_tolerance"]
    all_blocks = other("--accept", "measured", "--tolerance", "0.005")["loss_percent"]
    limit = str(1.0001 * all_blocks / 100)
    assert other("--accept", "measured", "--tolerance", limit)["within_tolerance"]
    assert not other("--accept", "bound", "--tolerance", limit)["within_tolerance"]


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tolerance", "-1"], "tolerance: -1.0"),
        (["--plot", "a.gif"], "plot: a.gif is not a picture"),
        (["--plot", "/"], "plot: '/'"),
    ],
)
def test_command_with_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["search", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"anda: error: {message}")


def test_the_optimum_of_a_range():
    found = search().exhaustive(range(5, 9))
    assert found.best is not None
    assert STUDY.best is not None
    assert found.best.precision == STUDY.best.precision
    assert [step.step.cost for step in found.history] == sorted(step.step.cost for step in found.history)
    assert found.heldout == STUDY.heldout


def test_objective_decides():
    energy = search(objective="energy").search()
    assert energy.objective == "energy"
    assert energy.record()["objective"] == "energy"
    assert energy.best is not None
    assert energy.best.step.cost == prepare_cost("energy", DECODER.shape)(Choice(energy.best.precision))
    assert energy.best.step.cost == min(step.step.cost for step in energy.history if step.step.best)


def test_a_second_text_must_be_within_the_tolerance_too():
    """Blocks from 1000 on lose twice as much, so that a wider precision is needed."""
    second = Texts(blocks(1000), blocks(1100))
    both = search(second=second).search()
    assert both.best is not None
    assert STUDY.best is not None
    assert both.best.step.cost > STUDY.best.step.cost
    assert both.best.step.loss <= 0.01
    assert both.second_heldout is not None
    assert both.second_heldout.loss.loss == pytest.approx(both.best.verdict.loss.loss, rel=0.2)
    assert both.record()["second_heldout"]["blocks"] == both.second_heldout.blocks
    assert STUDY.record()["second_heldout"] is None


def test_no_numerics():
    with pytest.raises(InputError, match=r"^numerics: there are none"):
        search(numerics=())


@pytest.mark.usefixtures("made_up")
def test_command_with_every_option(capsys: pytest.CaptureFixture[str]):
    options = ["--iterations", "25", "--reconstruct", "truncate,nearest", "--group-size", "32,64"]
    assert main(["search", *options, "--second-text", "brown", "--exhaustive", "6-8", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["objective"] == "bops"
    assert {(step["reconstruct"], step["group_size"]) for step in record["history"]} == {
        (reconstruct, size) for reconstruct in ("truncate", "nearest") for size in (32, 64)
    }
    assert record["numerics"]["partial"] == "float"
    assert record["exhaustive"]["bits"] == [6, 8]
    assert record["exhaustive"]["excess_cost"] >= 0


@pytest.mark.usefixtures("made_up")
def test_command_tells_the_distance_to_the_optimum(capsys: pytest.CaptureFixture[str]):
    assert main(["search", "--exhaustive", "5-8"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("All precisions of 5 to 8 bits, the cheapest first (")
    assert line.endswith(f"): the optimum is {STUDY.record()['best']}; the search ended 0.0 % above it.")


def test_command_by_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """On a random model, whose loss is what it is."""
    from anda_codesign import workloads

    tokens = np.random.default_rng(0).integers(0, 256, (2, 4, 16)).astype(np.int32)
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    monkeypatch.setattr(workloads, "load_decoder", lambda _: SYNTHETIC)
    monkeypatch.setattr(
        type(SYNTHETIC), "blocks", lambda _decoder, _text, split, *_: TextBlocks(tokens[int(split == "heldout")])
    )
    assert main(["search", "--tolerance", "0.05", "--per-layer", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    layers = record["per_layer"]
    assert len(layers["layers"]) == 2
    assert layers["bops_saving"] >= record["bops_saving"]
    assert layers["loss"] <= 0.05
    assert main(["search", "--tolerance", "0.05", "--per-layer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[-2:]] == layers["layers"]
    assert lines[-4].startswith(f"By layer: {layers['bops_saving']:.2f} times fewer bit operations, ")


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objective", "area"], "objective: 'area' .* bops, energy, latency"),
        (["--reconstruct", "up"], "reconstruct: 'up' .* truncate, midpoint, nearest"),
        (["--group-size", "a"], "group_size: 'a' .* 32,64"),
        (["--exhaustive", "8-"], "exhaustive: '8-' .* 4-8"),
        (["--exhaustive", "8-4"], "exhaustive: '8-4' .* 4-8"),
        (["--backend", "jax"], "backend: 'jax' .* numpy, torch"),
    ],
)
def test_command_with_options_that_are_wrong(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["search", *arguments]) == 2
    error = capsys.readouterr().err
    assert re.match(f"anda: error: {message}", error), error


def test_a_step_is_accepted_by_its_bound():
    for step in STUDY.history:
        bound = step.verdict.estimate.upper_bound(0.8413)
        assert step.step.best == (bound <= 0.01)
    measured = search(accept="measured").search()
    assert all(step.step.best == (step.step.loss <= 0.01) for step in measured.history)
    assert measured.best is not None
    assert STUDY.best is not None
    assert measured.best.step.cost <= STUDY.best.step.cost


def test_a_precision_that_fails_on_held_out_text_gives_way_to_the_next():
    """Held-out blocks lose twice as much, so that the cheapest accepted precision fails."""
    failing = PrecisionSearch(DECODER, Texts(blocks(0), blocks(1000)), 0.01)
    study = failing.search()
    record = study.record()
    assert study.rejected
    assert len(study.rejected) <= 3
    rejected = [str(step.precision) for step, _ in study.rejected]
    assert [own["precision"] for own in record["rejected_by_heldout"]] == rejected
    accepted = [str(step.precision) for step in reversed(study.history) if step.step.best]
    if study.best is None:
        assert rejected == accepted[:3]
        assert study.heldout is None
    else:
        assert [*rejected, str(study.best.precision)] == accepted[: len(rejected) + 1]


def test_used_up_iterations_are_told():
    study = search().search(iterations=len(STUDY.history) - 2)
    assert study.waiting > 0
    assert study.record()["iterations_exhausted"]
    assert not STUDY.record()["iterations_exhausted"]


@pytest.mark.usefixtures("made_up")
def test_the_command_tells_of_used_up_iterations_and_a_cheaper_precision_outside_of_the_range(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["search", "--iterations", "5"]) == 0
    assert re.search(r"Stopped after 5 evaluations with \d+ cheaper precisions waiting", capsys.readouterr().out)
    assert main(["search", "--exhaustive", "9-10"]) == 0
    assert re.search(r"the search found one \d+\.\d % cheaper, outside of this range", capsys.readouterr().out)


@pytest.mark.parametrize("measure", ["kl", "top1", "tempered"])
def test_a_tolerance_on_another_measure(measure: str):
    tokens = np.random.default_rng(5).integers(0, 250, (2, 8, 24), dtype=np.int32)
    texts = Texts(*(TextBlocks(part) for part in tokens))
    study = PrecisionSearch(SYNTHETIC, texts, 0.02, tolerance_on=measure).search(iterations=12)
    assert study.record()["tolerance_on"] == measure
    for step in study.history:
        assert step.verdict.comparison is not None
        assert step.step.loss == step.verdict.comparison.estimate(measure).value
    assert any(step.step.best for step in study.history)


def test_unknown_rules():
    with pytest.raises(InputError, match=r"^tolerance_on: 'beauty'"):
        search(tolerance_on="beauty")
    with pytest.raises(InputError, match=r"^accept: 'luck'"):
        search(accept="luck")


def test_a_plan_says_when_the_text_is_too_short():
    loss = search(tolerance=0.01).loss
    plan = plan_search(loss)
    assert plan is not None
    assert plan.blocks is not None
    plan.check()
    short = SearchPlan(0.01, plan.spread, 512, plan.blocks, text_tokens=512 * plan.blocks - 1)
    with pytest.raises(InputError, match=r"^tolerance: at M = 7 blocks of 512 tokens spread by .* the text has "):
        short.check()

"""The studies on a random model; what they call is tested where it is."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.study import measure as study_measure
from anda_codesign.experiments.study.figures import study_figure
from anda_codesign.experiments.study.measure import study
from anda_codesign.formats import InputError
from anda_codesign.formats.activations.registry import activation_format
from anda_codesign.workloads import (
    AndaActivations,
    AndaArithmetic,
    Decoder,
    FormatActivations,
    Fp16Activations,
    Precision,
    TextBlocks,
    paired_loss,
    synthetic_decoder,
)
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT
from anda_codesign.workloads.models.parameters import FloatWeights

from anda_codesign import workloads

MODELS = {"llama": synthetic_decoder(), "opt": synthetic_decoder(SYNTHETIC_OPT)}
TOKENS = {
    split: np.random.default_rng(number).integers(0, 256, (4, 20)).astype(np.int32)
    for number, split in enumerate(("calibration", "heldout"))
}
LOSS_COLUMNS = [
    "loss_percent",
    "standard_error_percent",
    "perplexity",
    "tokens",
    "interval_95_percent",
    "blocks",
    "block_tokens",
    "kl_nats",
    "top1_disagreement_percent",
    "tempered_loss_percent",
]


@pytest.fixture(autouse=True)
def random_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(study_measure, "GROUP_SIZES", (16, 64))
    for name in ("ARITHMETIC_MANTISSA_BITS", "GROUP_MANTISSA_BITS", "MODEL_MANTISSA_BITS", "MODULE_MANTISSA_BITS"):
        monkeypatch.setattr(study_measure, name, (4, 5))
    monkeypatch.setattr(workloads, "load_decoder", MODELS.__getitem__)
    monkeypatch.setattr(
        workloads.Decoder,
        "blocks",
        lambda _, _text, split, tokens, blocks: TextBlocks(TOKENS[split][:blocks, :tokens]),
    )


def expected(hook: Any, model: str = "llama") -> float:
    decoder, tokens = MODELS[model], TOKENS["heldout"]
    return 100 * paired_loss(decoder.nll(tokens, hook), decoder.nll(tokens, Fp16Activations())).loss


def test_group_sizes():
    frame = study(name="fig5", model=["llama"], blocks=4).frame
    assert list(frame.columns) == ["model", "group_size", "mantissa_bits", *LOSS_COLUMNS]
    assert len(frame) == 2 * 2
    row = frame[(frame["group_size"] == 16) & (frame["mantissa_bits"] == 5)].iloc[0]
    assert row["loss_percent"] == expected(AndaActivations(Precision.uniform(5), group_size=16))
    assert row["tokens"] == 4 * 19


def test_models():
    frame = study(name="fig6", model=list(MODELS), blocks=4).frame
    assert list(frame.columns) == ["model", "mantissa_bits", *LOSS_COLUMNS]
    assert list(frame["model"].unique()) == ["synthetic", "synthetic-opt"]
    row = frame[(frame["model"] == "synthetic-opt") & (frame["mantissa_bits"] == 4)].iloc[0]
    assert row["loss_percent"] == expected(AndaActivations(Precision.uniform(4)), "opt")


def test_single_modules():
    frame = study(name="fig7", model=["llama"], blocks=4).frame
    assert list(frame.columns) == ["model", "module", "mantissa_bits", *LOSS_COLUMNS]

    def only_u(module: str, layer: int, x: np.ndarray) -> np.ndarray:
        hook = AndaActivations(Precision.uniform(4)) if module == "u" else Fp16Activations()
        return hook(module, layer, x)

    row = frame[(frame["module"] == "u") & (frame["mantissa_bits"] == 4)].iloc[0]
    assert row["loss_percent"] == expected(only_u)


def test_formats():
    frame = study(name="table2", model=["llama"], blocks=4).frame.set_index("method")
    assert list(frame.index[:3]) == ["INT4 weights only", "FIGNA", "VS-Quant"]
    assert frame.loc["INT4 weights only", "loss_percent"] == 0
    fmt = activation_format("figna", mantissa_bits=13)
    assert frame.loc["FIGNA", "loss_percent"] == expected(FormatActivations(fmt))
    assert frame.loc["FIGNA", "bops_saving"] == 16 / 13
    anda = frame.loc["Anda 1 %"]
    assert anda["loss_percent"] == expected(AndaActivations(Precision.parse(anda["precision"])))
    assert anda["decision"] in ("within", "beyond", "undecided")


def test_arithmetic():
    frame = study(name="arithmetic", model=["llama"], blocks=4).frame
    precision, tokens = Precision.uniform(5), TOKENS["heldout"]
    fast, faithful = (
        MODELS["llama"].nll(tokens, hook) for hook in (AndaActivations(precision), AndaArithmetic(precision))
    )
    row = frame[(frame["sums"] == "fp16") & (frame["mantissa_bits"] == 5)].iloc[0]
    assert row["loss_percent"] == expected(AndaArithmetic(precision))
    assert row["difference_percent"] == 100 * paired_loss(faithful, fast).loss
    assert (frame.loc[frame["sums"] == "float", "difference_percent"] == 0).all()


def floats(decoder: Decoder) -> Decoder:
    """The same values, not as codes."""
    layers = [
        replace(
            layer,
            linears={
                name: replace(linear, weights=FloatWeights(linear.weights.dequantize()))
                for name, linear in layer.linears.items()
            },
        )
        for layer in decoder.weights.layers
    ]
    return decoder.with_weights(replace(decoder.weights, layers=layers), f"{decoder.sha256} floats")


def test_weights_before_rounding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A folder that holds floats; here, the model as another random one gives it."""
    original = floats(synthetic_decoder(seed=1))
    monkeypatch.setattr(workloads, "load_decoder", lambda _: MODELS["llama"])
    monkeypatch.setattr(study_measure, "load_decoder", lambda folder, group_size: original)
    frame = study(name="table2", model=[str(tmp_path)], blocks=4).frame.set_index("method")
    nll = [decoder.nll(TOKENS["heldout"], Fp16Activations()) for decoder in (original, MODELS["llama"])]
    assert frame.loc["FP16 weights", "loss_percent"] == 100 * paired_loss(*nll).loss


@pytest.mark.parametrize("name", ["fig5", "fig6", "fig7", "table2", "arithmetic", "position"])
def test_commands(name: str, anda: Callable[..., Any], tmp_path: Path):
    arguments = ["study", name, "--model", "llama", "--model", "opt", "--blocks", 2, "--tokens", 12]
    answer = anda(*arguments, "--json", "-", "--plot", tmp_path / "a.png")
    assert answer.status == 0
    frame = study(name=name, model=list(MODELS), blocks=2, tokens=12).frame
    records = json.loads(answer.out)
    assert [record["loss_percent"] for record in records] == list(frame["loss_percent"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    answer = anda(*arguments)
    assert answer.out.splitlines()[0] == f"{name}: held-out wiki, 2 blocks of 12 tokens"
    figure = study_figure(name, frame)
    assert len(figure.axes) == (1 if name == "fig6" else 2)
    points = {float(y) for axes in figure.axes for line in axes.lines for y in np.atleast_1d(line.get_ydata())}
    assert set(frame["loss_percent"]) <= points


def test_bad_input(refused: Callable[..., str], tmp_path: Path):
    unknown = "study: 'fig8' .* fig5, fig6, fig7, table2, arithmetic, position$"
    plot = tmp_path / "a.gif"
    for arguments, message in (
        (["fig8"], unknown),
        (["fig6", "--blocks", 1], "blocks: 1 .* 2"),
        (["fig6", "--plot", plot], f"plot: {re.escape(str(plot))} .* .png, .svg, .pdf$"),
    ):
        assert re.match(message, refused("study", *arguments))
    for call, message in (
        (lambda: study(name="fig6", model=[]), "model: "),
        (lambda: study_figure("fig8", pd.DataFrame()), unknown),
        (lambda: study_figure("fig6", pd.DataFrame()), "frame: "),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            call()
    assert list(study_measure.STUDIES) == ["fig5", "fig6", "fig7", "table2", "arithmetic", "position"]

"""Formats of a user's own in the report: their rows, the command that is printed, keys of the cache, and what is refused."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from anda_codesign.experiments.inputs import evaluation_cache
from anda_codesign.experiments.report import job
from anda_codesign.experiments.report.evaluation import measure_points
from anda_codesign.experiments.report.plan import PlannedPoint, format_points
from anda_codesign.experiments.simulation import simulate
from anda_codesign.formats.named_format import NamedFormat
from anda_codesign.formats.plugins import load_plugin, load_plugins
from anda_codesign.workloads import FormatActivations, Fp16Activations, Precision, evaluate, load_decoder, paired_loss
from messages import Refused
from tiny import random_text, tiny_model

OWN = "my-format bits=5 group_size=32"
EXAMPLE = Path(__file__).parents[3] / "examples" / "my_format.py"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    random_text(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(job, "plan_points", lambda _blocks: iter([PlannedPoint("uniform", Precision.uniform(5), 2)]))
    tiny_model(tmp_path / "tiny")
    shutil.copy(EXAMPLE, tmp_path / "my_format.py")
    yield
    load_plugins(())


def ask(*options: str) -> tuple[str, ...]:
    return "report", "--model", "tiny", "--blocks", "3", "--out", "out", *options


def test_a_format_is_a_row(anda: Callable[..., Any]):
    words = ("--plugin", "my_format.py", "--activations", OWN, "--activations", "mxint8")
    answer = anda(*ask(*words))
    assert answer.status == 0, answer.err
    frame = pd.read_parquet("out/table.parquet").set_index("label")
    assert frame[frame["kind"] == "format"].index.tolist() == [OWN, "mxint8"]
    assert frame["bits_per_value"][["fp-fp", "M = 5", OWN, "mxint8"]].tolist() == [16, 6.078125, 5.15625, 8.25]
    decoder = load_decoder("tiny")
    blocks = decoder.blocks("wiki", "heldout", 64, 3)
    reference = evaluate(decoder, blocks, Fp16Activations())
    for text in (OWN, "mxint8"):
        row, fmt = frame.loc[text], NamedFormat.parse(text).build()
        loss = paired_loss(evaluate(decoder, blocks, FormatActivations(fmt)), reference)
        assert (row["loss_percent"], row["blocks"]) == (pytest.approx(100 * loss.loss), 3)
        machine = simulate(model="tiny", arch="anda", tokens=2048, activations=text).to_dict()
        assert (row["cycles"], row["area_mm2"]) == (machine["cycles"], machine["area_mm2"])
        assert row["energy_pj"] == pytest.approx(machine["energy_pj"]["total"])
    page = Path("out/report.md").read_text()
    plugin = Path("my_format.py").absolute()
    assert (
        f"anda report --plugin {plugin} --out out --model tiny --blocks 3 --activations '{OWN}' --activations mxint8\n"
        in page
    )
    assert f"plugin {plugin} sha256: {hashlib.sha256(plugin.read_bytes()).hexdigest()}\n" in page
    assert f"{OWN}, 5.156 bits a value: undecided at 1 % loss" in page


def test_the_cache_depends_on_the_file_of_a_format():
    kept: list[int] = []
    decoder = load_decoder("tiny")
    for text in ("", "# changed", "# changed"):
        Path("my_format.py").write_text(EXAMPLE.read_text() + text)
        load_plugin("my_format.py")
        plan = list(format_points([NamedFormat.parse(OWN)], 2))
        measure_points(decoder, decoder.blocks("wiki", "heldout", 64, 2), plan)
        kept.append(len(list(evaluation_cache().iterdir())))
    assert kept == [4, 6, 6]  # FP16 and the format, two blocks each


BROKEN = {
    "bits": ("return self.bits +", "return 2 +", "activations: my-format says 2."),
    "fails": ("groups =", "1 / (x.shape[-1] % 384); groups =", "activations: 'my-format' fails on activations of the model"),
    "ends": ("groups =", "x.shape[-1] == 384 and exit(0); groups =", "plugin: code that the command ran ended the program"),
    "import": ("import numpy as np", "import numpy as np, nowhere", "plugin: "),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_format_that_fails_leaves_nothing(refused: Refused, kind: str):
    before, after, message = BROKEN[kind]
    Path("my_format.py").write_text(EXAMPLE.read_text().replace(before, after))
    assert refused(*ask("--plugin", "my_format.py", "--activations", "my-format")).startswith(message)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my-format", "activations: 'my-format' is not valid; choose one of fp16, "),
        ("anda", "activations: 'anda' has no mantissa bits; give them, such as anda mantissa_bits=7"),
        ("fast mantissa_bits=9", "activations: fast: mantissa_bits: 9 is not valid; choose one of 2, 4"),
        ("my_format:MyFormat", "activations: 'my_format:MyFormat' names a module"),
    ],
)
def test_a_format_that_is_not_there(refused: Refused, text: str, message: str):
    assert refused(*ask("--activations", text)).startswith(message)
    assert not Path("out").exists()

"""`anda models show`, and `--model` with files: what a user does with a model of their own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFIGS = Path(__file__).parents[2] / "workloads" / "models" / "configs"


@pytest.fixture
def mixtral(tmp_path: Path) -> Path:
    """A folder with nothing but config.json."""
    shutil.copytree(CONFIGS / "Mixtral-8x7B", tmp_path / "mixtral")
    return tmp_path / "mixtral"


def test_what_show_prints_is_read_again(mixtral: Path, tmp_path: Path, anda: Callable[..., Any]) -> None:
    shown = anda("models", "show", mixtral)
    assert shown.status == 0
    assert "# parameters: 46,702,792,704, 12,879,925,248 of them compute a token\n" in shown.out
    file = tmp_path / "mine.yaml"
    file.write_text(shown.out, "utf-8")
    assert anda("models", "show", file).out == shown.out
    command = ("--phase", "decode", "--tokens", "2", "--batch", "8", "--precision", "7,5,6,6", "--json", "-")
    documents = [json.loads(anda("simulate", "--model", model, *command).out) for model in (mixtral, file)]
    assert documents[0] == documents[1]
    assert documents[0]["model"] == "mixtral"
    assert documents[0]["macs"] == 16 * 32 * (4096 * (2 * 4096 + 2 * 1024) + 2 * 3 * 4096 * 14336)
    [note] = [note for note in documents[0]["notes"] if note.startswith("experts: ")]
    assert "an expectation: of 8 experts" in note
    assert "7.20 distinct ones" in note


def test_explain_and_inference(mixtral: Path, anda: Callable[..., Any]) -> None:
    command = ("--whole", "--tokens", "4", "--allow-overflow", "--json", "-")
    rows = json.loads(anda("explain", "--model", mixtral, *command).out)["rows"]
    assert {row["part"] for row in rows if row["quantity"] == "cycles"} >= {"router", "routing", "expert sums"}
    found = json.loads(
        anda("simulate", "--model", mixtral, "--prompt", "8", "--generate", "4", "--allow-overflow", "--json", "-").out
    )
    assert found["kv_cache_bytes"] == 12 * 131072
    assert sum("an expectation" in note for note in found["notes"]) == 2


def test_a_language_model_alone(anda: Callable[..., Any]) -> None:
    found = json.loads(anda("simulate", "--model", CONFIGS / "Gemma-3-4B", "--tokens", "2", "--json", "-").out)
    assert "model: Gemma-3-4B without its encoders of images and other media" in found["notes"]


def test_schema(anda: Callable[..., Any]) -> None:
    schema = json.loads(anda("models", "--schema").out)
    assert {"name", "hidden", "experts", "window"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("command", [["models", "show"], ["simulate", "--model"], ["explain", "--model"]])
def test_refused_in_one_line(command: list[str], tmp_path: Path, anda: Callable[..., Any]) -> None:
    data = json.loads((CONFIGS / "Falcon-7B" / "config.json").read_text("utf-8")) | {"alibi": True}
    (tmp_path / "config.json").write_text(json.dumps(data), "utf-8")
    answer = anda(*command, tmp_path)
    assert answer.status == 2
    assert answer.err.count("\n") == 1
    assert (
        "asks for alibi True (attention biases of ALiBi), which a shape of model_type falcon cannot express"
        in answer.err
    )
    for missing in ("none.yaml", "none.gguf", "folder/none"):
        answer = anda(*command, missing)
        assert (answer.status, answer.err.count("\n")) == (2, 1)

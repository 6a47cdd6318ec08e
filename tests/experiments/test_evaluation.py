"""`evaluate_model`: windows of the papers' protocols, and a local task of lm-evaluation-harness."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads.text.protocols import protocol_windows
from tools import absent

import anda_codesign


class Letters:
    """A tokenizer of one id for each character."""

    sha256 = ""

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-32-le"), "<i4")

    def decode(self, ids: np.ndarray) -> str:
        return "".join(map(chr, ids))


def test_windows_of_each_protocol(tmp_path: Path):
    def text(protocol: str, file: Path) -> str:
        blocks = protocol_windows(Letters(), protocol, file, window=4)  # pyright: ignore[reportArgumentType]
        return Letters().decode(blocks.tokens.ravel())

    raw = tmp_path / "raw"
    raw.write_text(" = A = \n \nbc\n")
    assert text("wikitext2", raw) == " = A = \n\n\n\n\nbc\n"[:12]
    assert text("ptb", raw) == "= A =  bc"[:8]
    packed = tmp_path / "c4.json.gz"
    with gzip.open(packed, "wt") as file:
        file.writelines(json.dumps({"text": "abc"}) + "\n" for _ in range(2000))
    assert text("c4", packed) == ("abc " * 1100)[: 256 * 4]
    for bad in (tmp_path / "none", raw):
        with pytest.raises(InputError, match=r"^text: .* cannot be read as the test set of c4 \("):
            text("c4", bad)


def test_errors():
    with pytest.raises(InputError, match=r"^tasks: are missing; give tasks, or a protocol for perplexity$"):
        anda_codesign.evaluate_model(model="nothing")


@pytest.mark.hf
@pytest.mark.filterwarnings("ignore")
def test_a_local_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if importlib.util.find_spec("lm_eval") is None:
        absent("lm-eval is not installed; install anda-codesign[eval]")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    sys.path.insert(0, str(Path(__file__).parents[1] / "workloads" / "inference"))
    import test_transformers as kinds

    folder = kinds.save(kinds.llama(), tmp_path / "model")
    kinds.tokenizer().save(str(folder / "tokenizer.json"))
    data, tasks = tmp_path / "data.jsonl", tmp_path / "tasks"
    samples = [{"q": f"The number {i} is", "a": ["small", "large"], "label": i % 2} for i in range(4)]
    data.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    tasks.mkdir()
    (tasks / "tiny.yaml").write_text(
        f"task: tiny_local\ndataset_path: json\ndataset_kwargs:\n  data_files: {{test: {data}}}\ntest_split: test\n"
        'output_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: "{{a}}"\ndoc_to_target: label\n'
        "metric_list:\n  - metric: acc\n"
    )
    found = anda_codesign.evaluate_model(model=folder, precision="5,4,4,4", tasks=["tiny_local"], task_path=tasks)
    assert {row["activations"] for row in found.rows} == {"FP16", "5,4,4,4"}
    assert all(0 <= row["value"] <= 1 for row in found.rows if row["measure"] == "acc")

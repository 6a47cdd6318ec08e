"""Models that transformers runs, in the protocol of evaluations: against transformers itself and against the decoder."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.activations.registry import activation_format
from anda_codesign.workloads import (
    AndaActivations,
    AndaArithmetic,
    FormatActivations,
    Fp16Activations,
    Precision,
    TextBlocks,
    evaluate,
    load_checkpoint,
)
from anda_codesign.workloads.evaluation.scores import Scorer
from anda_codesign.workloads.hf import Placement, TransformersModel, activations

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

import test_transformers as kinds

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TOKENS = np.random.default_rng(1).integers(0, 64, (3, 24), dtype=np.int32)
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64, "use_cache": False}
GATED = SMALL | {"intermediate_size": 96, "num_key_value_heads": 2}


def build(kind: str) -> Any:
    import transformers as t

    made = {
        "phi3": lambda: t.Phi3ForCausalLM(t.Phi3Config(**GATED, pad_token_id=0)),
        "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SMALL, intermediate_size=96)),
        "falcon": lambda: t.FalconForCausalLM(t.FalconConfig(**SMALL)),
        "mixtral": lambda: t.MixtralForCausalLM(t.MixtralConfig(**GATED, num_local_experts=4)),
        "gemma2": lambda: t.Gemma2ForCausalLM(
            t.Gemma2Config(**GATED, head_dim=16, final_logit_softcapping=3.0, attn_logit_softcapping=20.0)
        ),
    }
    return kinds.randomised(made[kind]()) if kind in made else getattr(kinds, kind)()


def quiet(folder: Path, **options: Any) -> TransformersModel:
    return TransformersModel(folder, Placement(**options), announce=False)


def direct_nll(model: Any, tokens: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        ids = torch.from_numpy(tokens.astype(np.int64))
        logits = model(input_ids=ids).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").numpy()


@pytest.mark.parametrize("kind", ["llama", "opt", "phi3", "gpt_neox", "falcon", "mixtral", "gemma2"])
def test_likelihoods_are_those_of_transformers_with_and_without_hooks(kind: str, tmp_path: Path):
    model = build(kind)
    ours = quiet(kinds.save(model, tmp_path))
    np.testing.assert_allclose(ours.nll(TOKENS), direct_nll(model, TOKENS), atol=1e-5)
    precision = Precision(7, 6, 8, 5)
    with activations(model, precision) as modules:
        hooked = direct_nll(model, TOKENS)
    assert modules == ours.modules
    assert set(modules.values()) == {"qkv", "o", "u", "d"}
    own = ours.nll(TOKENS, AndaActivations(precision))
    np.testing.assert_allclose(own, hooked, atol=1e-5)
    for narrow in range(4):  # each module has an effect
        bits = [16] * 4
        bits[narrow] = 2
        assert np.abs(ours.nll(TOKENS, AndaActivations(Precision(*bits))) - own).max() > 1e-3
    np.testing.assert_allclose(direct_nll(model, TOKENS), ours.nll(TOKENS), atol=1e-5)  # no hook is left behind


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_agreement_with_the_decoder(kind: str, tmp_path: Path):
    folder = kinds.save(build(kind), tmp_path)
    ours, decoder = quiet(folder), load_checkpoint(folder, group_size=None)
    for hook, bound in ((None, 1e-4), (Fp16Activations(), 2e-3)):
        np.testing.assert_allclose(ours.nll(TOKENS, hook), decoder.nll(TOKENS, hook), atol=bound)
    blocks = TextBlocks(TOKENS)
    for hook in (AndaActivations(Precision(7, 6, 8, 9)), FormatActivations(activation_format("mxint8"))):
        own, expected = Scorer(ours).score(blocks, hook), Scorer(decoder).score(blocks, hook)
        assert np.abs(own.nll - expected.nll).mean() < 0.1 * np.abs(expected.nll - decoder.nll(TOKENS)).mean()
        np.testing.assert_allclose(own.tempered, expected.tempered, atol=0.02)
        np.testing.assert_allclose(own.kl.mean(), expected.kl.mean(), rtol=0.1)
    for name in ("q", "down"):
        ours_int4, expected_int4 = ours.linear(1, name), load_checkpoint(folder).linear(1, name)
        np.testing.assert_array_equal(ours_int4.codes, expected_int4.codes)


def test_batches_cache_and_identity(tmp_path: Path):
    model = quiet(kinds.save(kinds.llama(), tmp_path / "model"))
    hook, blocks = AndaActivations(Precision(6, 6, 6, 6)), TextBlocks(TOKENS)
    single = evaluate(model, blocks, hook, tmp_path / "single")
    model.batch_tokens = 48
    np.testing.assert_allclose(evaluate(model, blocks, hook, tmp_path / "batch"), single, atol=1e-4)
    assert len(list((tmp_path / "batch").iterdir())) == 3
    np.testing.assert_array_equal(evaluate(model, blocks, hook, tmp_path / "single"), single)
    narrow = quiet(tmp_path / "model", dtype="bfloat16")
    assert narrow.dtype == "bfloat16"
    assert narrow.sha256 != model.sha256
    assert np.abs(narrow.nll(TOKENS, hook) - single).max() < 0.5
    patterns = {"down_proj": ""}
    other = TransformersModel(tmp_path / "model", patterns=patterns, announce=False)
    assert other.sha256 != model.sha256
    assert "d" not in other.modules.values()


def test_types_on_a_cpu_take_the_path_in_torch():
    import torch
    from anda_codesign.workloads.hf.hooked import hooked_values

    x = torch.randn(5, 3, 100, generator=torch.Generator().manual_seed(3))
    hook, fmt = AndaActivations(Precision(6, 6, 6, 6)), AndaFormat(6)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        given = x.to(dtype)
        found = hooked_values(hook, "qkv", 0, given)
        expected = fmt.encode(given.half().numpy().reshape(15, 100)).decode().astype(np.float32)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.float().numpy().reshape(15, 100), expected)


def test_errors_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    folder = kinds.save(kinds.llama(), tmp_path / "model")
    model = quiet(folder)
    for message, call in {
        r"^tokens: 300 do not fit the context": lambda: model.nll(np.zeros((1, 300), np.int32)),
        r"^partial: exact sums need": lambda: model.nll(TOKENS, AndaArithmetic(Precision(6, 6, 6, 6))),
        r"^tokenizer: model has none": model.blocks,
        r"^device: 'tpu' is not valid; choose one of auto": lambda: Placement(device="tpu"),
        r"^dtype: 'int8' is not valid": lambda: Placement(dtype="int8"),
        r"^model: /nowhere does not exist; give a checkpoint folder": lambda: quiet(Path("/nowhere")),
    }.items():
        with pytest.raises(InputError, match=message):
            call()
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"^device: torch finds no cuda here; use cpu$"):
            quiet(folder, device="cuda")
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"^model: transformers cannot load .*; give a complete checkpoint$"):
        quiet(folder)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        InputError, match=r"^transformers: is not installed but needed here; install anda-codesign\[hf\]"
    ):
        quiet(folder)


def test_memory_and_modules_are_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    TransformersModel(kinds.save(kinds.llama(), tmp_path))
    memory, modules = capsys.readouterr().err.strip().splitlines()[-2:]
    assert memory.startswith("anda: transformers: 0.")
    assert "GiB in float32 on cpu" in memory
    assert "qkv = self_attn.q_proj, self_attn.k_proj, self_attn.v_proj" in modules


def test_on_cuda(tmp_path: Path):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder = kinds.save(kinds.llama(), tmp_path)
    hook = AndaActivations(Precision(7, 6, 8, 9))
    cpu, cuda = quiet(folder, device="cpu"), quiet(folder, device="cuda", dtype="float32")
    np.testing.assert_allclose(cuda.nll(TOKENS), cpu.nll(TOKENS), atol=1e-3)
    np.testing.assert_allclose(cuda.nll(TOKENS, hook).mean(), cpu.nll(TOKENS, hook).mean(), atol=1e-2)

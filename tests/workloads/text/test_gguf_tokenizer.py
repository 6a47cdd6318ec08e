"""Tokenizers of GGUF files: small cases by hand, and the package tokenizers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads.text.gguf_tokenizer import gguf_tokenizer
from anda_codesign.workloads.text.spm import SpmTokenizer
from anda_codesign.workloads.text.tokenizer import PRE_TOKENIZERS, Tokenizer, byte_characters
from hypothesis import given
from hypothesis import strategies as st

PIECES = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "c", "ab", "▁a", "abc", "▁▁", "bc"]
KINDS = [2, *[6] * 256, *[1] * 9]
SCORES = [0.0] * 261 + [-1.0, -2.0, -3.0, -0.5, -4.0]
SPM = SpmTokenizer(PIECES, SCORES, KINDS, add_space=False)
TEXT = "It's 12345 o'clock,  and the CLOCKS\n\n were striking thirteen!!  Näive café — 日本語 🙂\t x_y "


def parts(text: str) -> list[str]:
    return [PIECES[number] for number in SPM.encode(text)]


def test_pairs_with_the_highest_score_are_joined_first():
    assert parts("abc") == ["abc"]  # ab, then abc: bc has a lower score than ab
    assert parts("bc") == ["bc"]
    assert parts(" abc") == ["▁", "abc"]
    assert parts(" ac") == ["▁a", "c"]
    assert parts("  a") == ["▁▁", "a"]
    assert parts("é") == ["<0xC3>", "<0xA9>"]
    assert parts("") == []
    spaced = SpmTokenizer(PIECES, SCORES, KINDS, add_space=True)
    assert spaced.encode("ac").tolist() == SPM.encode(" ac").tolist()
    assert spaced.decode(spaced.encode("ac")) == "ac"


@given(st.text())
def test_round_trip(text: str):
    assert SPM.decode(SPM.encode(text)) == text.replace("▁", " ")


def test_metadata_that_contradict_each_other():
    path = Path("x.gguf")
    fields: dict[str, Any] = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a", "b"]}
    assert gguf_tokenizer(path, {}, 2) is None
    with pytest.raises(InputError, match=r"^model: x.gguf has 2 tokens, but its embedding 1 rows; fetch it again$"):
        gguf_tokenizer(path, fields, 1)
    with pytest.raises(InputError, match=r"^model: x.gguf has 2 tokens, 1 scores, 2 types; fetch it again$"):
        gguf_tokenizer(path, fields | {"tokenizer.ggml.scores": [1.0]}, 2)
    other = gguf_tokenizer(path, fields | {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "viking"}, 2)
    with pytest.raises(InputError, match=r"^tokenizer: x.gguf has 'gpt2' with pre-tokenizer 'viking'; use a file with"):
        other.encode("a")  # type: ignore[union-attr]


def trained(pre_tokenizer: Any, model: Any, alphabet: list[str], size: int) -> Any:
    from tokenizers import Tokenizer as Own
    from tokenizers import trainers

    own = Own(model)
    own.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    own.train_from_iterator([TEXT * 3], trainer)
    return own


def vocabulary(own: Any) -> tuple[list[str], list[str]]:
    model = json.loads(own.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return tokens, [" ".join(merge) for merge in model["merges"]]


@pytest.mark.hf
@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_byte_level_pre_tokenizers(name: str):
    """The same words as the package makes with the rules of the models' own tokenizer.json."""
    from tokenizers import Regex, models, pre_tokenizers

    separator, word = PRE_TOKENIZERS[name]
    steps = [] if separator is None else [pre_tokenizers.Digits(individual_digits=True)]
    if name in ("llama-bpe", "qwen2"):
        steps += [
            pre_tokenizers.Split(Regex(word), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    else:
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
    own = trained(pre_tokenizers.Sequence(steps), models.BPE(ignore_merges=name == "llama-bpe"), byte_characters(), 290)
    tokens, merges = vocabulary(own)
    assert Tokenizer(tokens, merges, name).encode(TEXT).tolist() == own.encode(TEXT).ids


@pytest.mark.hf
@pytest.mark.parametrize("words", [True, False])
def test_spm_is_bpe_by_rank(words: bool):
    """Scores that fall with the rank of the merge give the tokens of byte-pair encoding with byte fallback."""
    from tokenizers import models, pre_tokenizers

    rule = pre_tokenizers.Metaspace(prepend_scheme="never", split=words)
    own = trained(rule, models.BPE(), [], 90)
    tokens, merges = vocabulary(own)
    ranks = {merge.replace(" ", ""): rank for rank, merge in reversed(list(enumerate(merges)))}
    spm = SpmTokenizer(tokens, [-float(ranks.get(token, 0)) for token in tokens], [1] * len(tokens), add_space=False)
    np.testing.assert_array_equal(spm.encode(TEXT), own.encode(TEXT).ids)

import re
from dataclasses import replace

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.base import PackedWeights
from anda_codesign.workloads import (
    MODULES,
    AndaActivations,
    Decoder,
    Fp16Activations,
    ModelShape,
    Precision,
    TextBlocks,
    load_blocks,
    load_decoder,
    synthetic_decoder,
)
from anda_codesign.workloads.models.parameters import FloatArray, Linear, linear_names

DECODER = synthetic_decoder()
TOKENS = np.random.default_rng(1).integers(0, 256, 40).astype(np.int32)


def slow_logits(decoder: Decoder, tokens: np.ndarray) -> np.ndarray:
    """The LLaMA architecture written down a second time: float64, one token and one head at a time."""
    weights, shape = decoder.weights, decoder.shape

    def rms_norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean() + weights.norm_epsilon) * gain

    def rotate(head: np.ndarray, position: int) -> np.ndarray:
        half = len(head) // 2
        turns = np.exp(1j * position * weights.rope_theta ** (-np.arange(half) / half))
        turned = (head[:half] + 1j * head[half:]) * turns
        return np.concatenate([turned.real, turned.imag])

    residual = [weights.embedding[token].astype(float) for token in tokens]
    for layer, block in enumerate(weights.layers):
        matrix = {name: decoder.linear(layer, name).dequantize().astype(float) for name in linear_names(shape)}
        past_keys: list[np.ndarray] = []
        past_values: list[np.ndarray] = []
        for position, x in enumerate(residual):
            normed = rms_norm(x, block.attention_norm.gain)
            queries, keys, values = ((normed @ matrix[name]).reshape(-1, shape.head_dim) for name in ("q", "k", "v"))
            past_keys.append(np.stack([rotate(key, position) for key in keys]))
            past_values.append(values)
            context: list[np.ndarray] = []
            for head, query in enumerate(queries):
                group = head // (shape.heads // shape.kv_heads)
                turned = rotate(query, position)
                weight = np.exp([turned @ key[group] / shape.head_dim**0.5 for key in past_keys])
                context.append(sum(w * v[group] for w, v in zip(weight, past_values, strict=True)) / weight.sum())
            x += np.concatenate(context) @ matrix["o"]
            normed = rms_norm(x, block.ffn_norm.gain)
            gate = normed @ matrix["gate"]
            x += (gate / (1 + np.exp(-gate)) * (normed @ matrix["up"])) @ matrix["down"]
    return np.stack([rms_norm(x, weights.final_norm.gain) @ weights.embedding.T for x in residual])


def test_logits_equal_those_of_the_plain_definition():
    np.testing.assert_allclose(DECODER.logits(TOKENS), slow_logits(DECODER, TOKENS), atol=2e-5)


def test_nll_is_that_of_the_logits():
    logits = DECODER.logits(TOKENS).astype(float)
    expected = np.log(np.exp(logits[:-1]).sum(axis=1)) - logits[np.arange(len(TOKENS) - 1), TOKENS[1:]]
    nll = DECODER.nll(TOKENS[None])
    assert nll.dtype == np.float64
    np.testing.assert_allclose(nll[0], expected, atol=1e-5)


def test_later_tokens_do_not_matter():
    changed = TOKENS.copy()
    changed[30:] = 0
    np.testing.assert_allclose(DECODER.logits(changed)[:30], DECODER.logits(TOKENS)[:30], atol=1e-5)
    assert np.abs(DECODER.logits(changed)[30] - DECODER.logits(TOKENS)[30]).max() > 0.1


def test_a_block_does_not_depend_on_its_neighbours():
    blocks = TOKENS.reshape(2, 20)
    np.testing.assert_array_equal(DECODER.nll(blocks)[1:], DECODER.nll(blocks[1:]))


def test_hook_sees_every_input_once_in_order():
    seen: list[tuple[int, str, tuple[int, ...]]] = []

    def hook(module: str, layer: int, x: FloatArray) -> FloatArray:
        seen.append((layer, module, x.shape))
        assert x.dtype == np.float32
        return x

    np.testing.assert_array_equal(DECODER.nll(TOKENS[None], hook), DECODER.nll(TOKENS[None]))
    channels = {"qkv": 128, "o": 128, "u": 128, "d": 384}
    assert seen == [(layer, module, (40, channels[module])) for layer in (0, 1) for module in MODULES]


def test_hook_replaces_the_input_of_its_module():
    """Zeros at both inputs that a sub-block's result passes take the sub-block out."""
    for module in MODULES:

        def without(removed: tuple[str, ...]) -> np.ndarray:
            return DECODER.logits(TOKENS, lambda name, layer, x: np.zeros_like(x) if name in removed else x)

        pair = {"qkv": ("qkv", "o"), "o": ("qkv", "o"), "u": ("u", "d"), "d": ("u", "d")}[module]
        np.testing.assert_array_equal(without((module,)), without(pair))
        assert np.abs(without((module,)) - DECODER.logits(TOKENS)).max() > 0.1


def test_hidden_after_no_layers_is_the_embedding():
    np.testing.assert_array_equal(DECODER.hidden(TOKENS, layers=0), DECODER.weights.embedding[TOKENS])


def test_linear_shapes():
    shapes = {name: DECODER.linear(1, name).codes.shape for name in linear_names(DECODER.shape)}
    assert shapes == {
        "q": (128, 128),
        "k": (128, 64),
        "v": (128, 64),
        "o": (128, 128),
        "gate": (128, 384),
        "up": (128, 384),
        "down": (384, 128),
    }


def test_seed_decides_the_synthetic_model():
    np.testing.assert_array_equal(synthetic_decoder(seed=3).logits(TOKENS), synthetic_decoder(seed=3).logits(TOKENS))
    assert synthetic_decoder(seed=3).sha256 != synthetic_decoder(seed=4).sha256
    assert np.abs(synthetic_decoder(seed=3).logits(TOKENS) - synthetic_decoder(seed=4).logits(TOKENS)).max() > 0.1


def test_unknown_linear():
    cases = ((2, "q", "layer: 2 "), (-1, "q", "layer: -1 "), (0, "qkv", "name: 'qkv' .* q, k, v, o, gate, up, down$"))
    for layer, name, message in cases:
        with pytest.raises(InputError, match=f"^{message}"):
            DECODER.linear(layer, name)


def test_weights_of_another_format():
    class Dense(PackedWeights):
        name = "dense"
        shape = (128, 128)
        bits_per_weight = 32
        unpack = pack = classmethod(lambda cls: None)

        def decode(self) -> FloatArray:
            return np.eye(128, dtype=np.float32)

    layer = DECODER.weights.layers[0]
    dense = replace(layer, linears={**layer.linears, "o": Linear(Dense())})
    decoder = Decoder(replace(DECODER.weights, layers=[dense, DECODER.weights.layers[1]]), None, "")
    assert np.isfinite(decoder.logits(TOKENS)).all()
    with pytest.raises(InputError, match=r"^weights: o of layer 0 is in dense; .*INT4"):
        decoder.linear(0, "o")


def test_with_weights_keeps_the_tokenizer():
    other = DECODER.with_weights(synthetic_decoder(seed=1).weights, "other")
    assert other.tokenizer is DECODER.tokenizer
    assert other.sha256 == "other"
    np.testing.assert_array_equal(other.logits(TOKENS), synthetic_decoder(seed=1).logits(TOKENS))


def test_missing_tokenizer():
    decoder = Decoder(DECODER.weights, None, "")
    message = "tokenizer: synthetic has none; copy its tokenizer.json into the folder, or give token ids"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        _ = decoder.tokenizer


@pytest.fixture(scope="module")
def blocks(smollm2: Decoder) -> TextBlocks:
    return load_blocks(smollm2.tokenizer, split="heldout", tokens=128, blocks=2)


@pytest.mark.model
def test_smollm2_nll(smollm2: Decoder, blocks: TextBlocks):
    np.testing.assert_allclose(smollm2.nll(blocks.tokens).mean(axis=1), [2.99525, 2.89592], atol=1e-4)
    fp16 = smollm2.nll(blocks.tokens, Fp16Activations())
    np.testing.assert_allclose(fp16.mean(axis=1), [2.99551, 2.89602], atol=1e-4)


@pytest.mark.model
def test_smollm2_anda_nll(smollm2: Decoder, blocks: TextBlocks):
    nll = smollm2.nll(blocks.tokens, AndaActivations(Precision(7, 5, 6, 6)))
    np.testing.assert_allclose(nll.mean(axis=1), [3.00122, 2.91626], atol=1e-3)


@pytest.mark.model
def test_smollm2_equals_the_plain_definition(smollm2: Decoder, blocks: TextBlocks):
    tokens = blocks.tokens[0, :6]
    np.testing.assert_allclose(smollm2.logits(tokens), slow_logits(smollm2, tokens), atol=1e-3)


@pytest.mark.model
def test_smollm2_shape(smollm2: Decoder):
    assert isinstance(smollm2.shape, ModelShape)
    assert smollm2.shape.name == "SmolLM2-135M"
    assert smollm2.linear(29, "down").codes.shape == (1536, 576)


def test_model_without_weights():
    message = "model: LLaMA-7B has no weights here; use SmolLM2-135M or give the path of a GGUF file"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_decoder("llama-7b")

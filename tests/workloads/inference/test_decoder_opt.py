import numpy as np
import pytest
from anda_codesign.workloads import (
    MODULES,
    AndaActivations,
    Decoder,
    Fp16Activations,
    Precision,
    TextBlocks,
    capture_trace,
    evaluate,
    synthetic_decoder,
)
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT
from anda_codesign.workloads.models.parameters import Norm, linear_names

DECODER = synthetic_decoder(SYNTHETIC_OPT)
TOKENS = np.random.default_rng(1).integers(0, 256, 30).astype(np.int32)


def slow_logits(decoder: Decoder, tokens: np.ndarray) -> np.ndarray:
    """The OPT architecture written down a second time: float64, one token and one head at a time."""
    weights, shape = decoder.weights, decoder.shape

    def layer_norm(x: np.ndarray, norm: Norm) -> np.ndarray:
        return (x - x.mean()) / np.sqrt(x.var() + weights.norm_epsilon) * norm.gain + norm.bias

    residual = [
        weights.embedding[token].astype(float) + weights.positions[position] for position, token in enumerate(tokens)
    ]
    for layer, block in enumerate(weights.layers):

        def linear(x: np.ndarray, name: str, layer: int = layer) -> np.ndarray:
            matrix = decoder.linear(layer, name).dequantize().astype(float)
            return x @ matrix + decoder.weights.layers[layer].linears[name].bias

        past: list[tuple[np.ndarray, np.ndarray]] = []
        for x in residual:
            normed = layer_norm(x, block.attention_norm)
            query, key, value = (linear(normed, name).reshape(shape.heads, shape.head_dim) for name in ("q", "k", "v"))
            past.append((key, value))
            heads: list[np.ndarray] = []
            for head in range(shape.heads):
                weight = np.exp([query[head] @ k[head] / shape.head_dim**0.5 for k, _ in past])
                heads.append(sum(w * v[head] for w, (_, v) in zip(weight, past, strict=True)) / weight.sum())
            x += linear(np.concatenate(heads), "o")
            x += linear(np.maximum(linear(layer_norm(x, block.ffn_norm), "up"), 0), "down")
    return np.stack([layer_norm(x, weights.final_norm) @ weights.embedding.T for x in residual])


def test_logits_equal_those_of_the_plain_definition():
    np.testing.assert_allclose(DECODER.logits(TOKENS), slow_logits(DECODER, TOKENS), atol=5e-5)


def test_positions_matter():
    """Without rotary embedding, only the learned positions tell an order of tokens."""
    same = np.zeros(10, np.int32)
    logits = DECODER.logits(same)
    assert np.abs(logits[1:] - logits[:-1]).max(axis=1).min() > 0.1


def test_linears_have_no_gate():
    assert linear_names(DECODER.shape) == ("q", "k", "v", "o", "up", "down")
    assert DECODER.linear(0, "up").codes.shape == (128, 384)


def test_trace_of_relu_is_sparse_and_not_negative():
    trace = capture_trace(DECODER, TextBlocks(TOKENS[None]), layers=(0, 1), tokens=30)
    assert {module: trace.activation(1, module).shape[1] for module in MODULES} == {
        "qkv": 128,
        "o": 128,
        "u": 128,
        "d": 384,
    }
    down = trace.activation(1, "d")
    assert (down >= 0).all()
    assert 0.2 < (down == 0).mean() < 0.8


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_truncated(module: str):
    blocks = TextBlocks(TOKENS[None])
    reference = evaluate(DECODER, blocks, Fp16Activations())
    fine = evaluate(DECODER, blocks, AndaActivations(Precision.uniform(16)))
    coarse = evaluate(DECODER, blocks, AndaActivations(Precision.uniform(16)._replace(**{module: 2})))
    assert np.abs(fine - reference).max() < 1e-3
    assert np.abs(coarse - reference).max() > 1e-3

"""The backward pass against finite differences and against torch's automatic one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import Decoder, synthetic_decoder
from anda_codesign.workloads.gradients import pullbacks as pb
from anda_codesign.workloads.gradients.backward import backward
from anda_codesign.workloads.inference.operators import rope_table
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_LLAMA, SYNTHETIC_OPT
from anda_codesign.workloads.models.parameters import FloatArray, Linear, linear_names
from numpy.typing import NDArray

TOKENS = np.random.default_rng(1).integers(0, 256, 40).astype(np.int32)
DECODERS = {shape.family: synthetic_decoder(shape) for shape in (SYNTHETIC_LLAMA, SYNTHETIC_OPT)}

Gradients = dict[tuple[int, str], FloatArray]


def gradients_of(decoder: Decoder) -> tuple[float, Gradients]:
    gradients: Gradients = {}
    loss = backward(decoder, TOKENS, lambda layer, name, own: gradients.update({(layer, name): own}))
    return loss, gradients


class Shifted:
    """Weights moved along a direction; stands in for packed weights."""

    def __init__(self, values: FloatArray) -> None:
        self._values = values

    def dequantize(self) -> FloatArray:
        return self._values


def loss_with(decoder: Decoder, layer: int, name: str, values: FloatArray, tokens: NDArray[np.int32] = TOKENS) -> float:
    linears = dict(decoder.weights.layers[layer].linears)
    linears[name] = Linear(Shifted(values), linears[name].bias)  # type: ignore[arg-type]
    layers = list(decoder.weights.layers)
    layers[layer] = replace(layers[layer], linears=linears)
    moved = Decoder(replace(decoder.weights, layers=layers), None, "")
    return float(moved.nll(tokens[None]).mean())


@pytest.mark.parametrize("family", DECODERS)
def test_loss_is_the_mean_nll(family: str) -> None:
    decoder = DECODERS[family]
    loss, gradients = gradients_of(decoder)
    assert loss == pytest.approx(decoder.nll(TOKENS[None]).mean(), rel=1e-6)
    assert set(gradients) == {(layer, name) for layer in range(2) for name in linear_names(decoder.shape)}


@pytest.mark.parametrize("family", DECODERS)
def test_slope_along_each_gradient(family: str) -> None:
    """Moving a matrix along its gradient changes the loss by the gradient's norm; float32 leaves about three digits."""
    decoder = DECODERS[family]
    _, gradients = gradients_of(decoder)
    for (layer, name), gradient in gradients.items():
        values = decoder.linear(layer, name).dequantize()
        assert gradient.shape == values.shape
        norm = float(np.linalg.norm(gradient))
        step = 0.02 / norm * gradient
        above, below = (loss_with(decoder, layer, name, values + sign * step) for sign in (1, -1))
        assert (above - below) / 0.04 == pytest.approx(norm, rel=5e-3), (layer, name)


@pytest.mark.parametrize("family", DECODERS)
def test_slope_along_random_directions(family: str) -> None:
    decoder = DECODERS[family]
    _, gradients = gradients_of(decoder)
    rng = np.random.default_rng(2)
    for (layer, name), gradient in gradients.items():
        values = decoder.linear(layer, name).dequantize()
        direction = rng.standard_normal(values.shape, dtype=np.float32)
        direction *= 0.02 / np.linalg.norm(direction)
        above, below = (loss_with(decoder, layer, name, values + sign * direction) for sign in (1, -1))
        expected = float((gradient * direction).sum())
        assert (above - below) / 2 == pytest.approx(expected, abs=0.01 * 0.02 * float(np.linalg.norm(gradient)))


def slope(
    function: Callable[[FloatArray], FloatArray], x: FloatArray, direction: FloatArray, weights: FloatArray
) -> float:
    """Central difference of ``sum(weights * function(x))`` along a direction."""
    step = np.float32(1e-2)
    above, below = (function(x + sign * step * direction).astype(np.float64) for sign in (1, -1))
    return float((weights * (above - below)).sum() / (2 * step))


def test_pullbacks_are_the_derivatives_of_their_values() -> None:
    rng = np.random.default_rng(3)

    def normal(*size: int) -> FloatArray:
        return rng.standard_normal(size, dtype=np.float32)

    gain, bias, table = 1 + normal(12), normal(12), rope_table(5, 8, 10000.0)
    cases: list[tuple[Callable[[FloatArray], tuple[FloatArray, pb.Pullback]], FloatArray]] = [
        (lambda x: pb.rms_norm(x, gain, 1e-5), normal(5, 12)),
        (lambda x: pb.layer_norm(x, gain, bias, 1e-5), normal(5, 12)),
        (pb.swiglu, normal(5, 12)),
        (pb.relu, normal(5, 12) + np.sign(normal(5, 12))),
        (lambda x: pb.rotate(x, table), normal(5, 3, 8)),
    ]
    for operator, x in cases:
        out, pullback = operator(x)
        direction, weights = normal(*x.shape), normal(*out.shape)
        expected = slope(lambda at, operator=operator: operator(at)[0], x, direction, weights)
        assert float((pullback(weights) * direction).sum()) == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_pullback_of_attention() -> None:
    rng = np.random.default_rng(4)
    arguments = [rng.standard_normal((7, heads, 8), dtype=np.float32) for heads in (6, 2, 2)]
    out, pullback = pb.causal_attention(*arguments)
    weights = rng.standard_normal(out.shape, dtype=np.float32)
    for i, gradient in enumerate(pullback(weights)):
        direction = rng.standard_normal(arguments[i].shape, dtype=np.float32)

        def attend(x: FloatArray, i: int = i) -> FloatArray:
            return pb.causal_attention(*(x if j == i else own for j, own in enumerate(arguments)))[0]

        expected = slope(attend, arguments[i], direction, weights)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_too_few_tokens() -> None:
    for tokens in (TOKENS[:1], TOKENS[None]):
        with pytest.raises(InputError, match=r"^tokens: have shape .*; give one sequence of 2 or more$"):
            backward(DECODERS["llama"], tokens, lambda *_: None)


@pytest.mark.model
def test_gradients_of_the_real_model(smollm2: Decoder) -> None:
    """Loss and slope of one matrix, through all 30 layers; grouped heads and rotary positions among them."""
    tokens = np.arange(700, 724, dtype=np.int32)
    gradients: Gradients = {}
    loss = backward(smollm2, tokens, lambda layer, name, own: gradients.update({(layer, name): own}))
    assert loss == pytest.approx(float(smollm2.nll(tokens[None]).mean()), rel=1e-5)
    assert len(gradients) == 210
    gradient = gradients[1, "k"]
    norm = float(np.linalg.norm(gradient))
    step = 0.02 / norm * gradient
    values = smollm2.linear(1, "k").dequantize()
    above, below = (loss_with(smollm2, 1, "k", values + sign * step, tokens) for sign in (1, -1))
    assert (above - below) / 0.04 == pytest.approx(norm, rel=0.02)


@pytest.mark.hf
def test_torch_gives_the_same_gradients() -> None:
    import torch

    decoder = DECODERS["llama"]
    shape, model = decoder.shape, decoder.weights
    matrices = {
        (layer, name): torch.tensor(decoder.linear(layer, name).dequantize(), requires_grad=True)
        for layer in range(shape.layers)
        for name in linear_names(shape)
    }
    cosine, sine = (torch.tensor(part) for part in rope_table(len(TOKENS) - 1, shape.head_dim, model.rope_theta or 0))

    def norm(x, gain):  # type: ignore[no-untyped-def]
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + model.norm_epsilon) * torch.tensor(gain)

    def turn(x):  # type: ignore[no-untyped-def]
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

    embedding = torch.tensor(model.embedding)
    x = embedding[torch.tensor(TOKENS[:-1])]
    for layer, block in enumerate(model.layers):
        h = norm(x, block.attention_norm.gain)
        q, k, v = ((h @ matrices[layer, name]).view(len(x), -1, shape.head_dim) for name in "qkv")
        repeats = shape.heads // shape.kv_heads
        k, v = turn(k).repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        out = torch.nn.functional.scaled_dot_product_attention(
            turn(q).transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), is_causal=True
        )
        x = x + out.transpose(0, 1).reshape(len(x), -1) @ matrices[layer, "o"]
        h = norm(x, block.ffn_norm.gain)
        gated = torch.nn.functional.silu(h @ matrices[layer, "gate"]) * (h @ matrices[layer, "up"])
        x = x + gated @ matrices[layer, "down"]
    logits = norm(x, model.final_norm.gain) @ embedding.T
    torch.nn.functional.cross_entropy(logits, torch.tensor(TOKENS[1:].astype(np.int64))).backward()
    _, gradients = gradients_of(decoder)
    for key, gradient in gradients.items():
        expected = matrices[key].grad.numpy()
        assert np.linalg.norm(gradient - expected) < 1e-3 * np.linalg.norm(expected), key

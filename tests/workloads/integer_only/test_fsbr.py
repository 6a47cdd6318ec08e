import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import Decoder, synthetic_decoder
from anda_codesign.workloads.integer_only.float_reference import FakeQuantDecoder
from anda_codesign.workloads.integer_only.fsbr import FsbrTraining, learned_blocks
from anda_codesign.workloads.integer_only.smoothed_blocks import float_blocks, smoothed_blocks
from anda_codesign.workloads.integer_only.weights import IntegerConfig
from anda_codesign.workloads.models.parameters import Linear

CONFIG = IntegerConfig(weight_bits=8, activation_bits=4)
CALIBRATION = np.random.default_rng(3).integers(0, 256, (4, 24)).astype(np.int32)


@dataclass(frozen=True)
class FloatWeights:
    """Weights that are floats already."""

    w: np.ndarray

    def dequantize(self) -> np.ndarray:
        return self.w


def outlier_decoder(seed: int = 0) -> Decoder:
    """A random model with one outlier rotary pair in every key head, which analytic smoothing leaves as it is."""
    decoder = synthetic_decoder(seed=seed)
    shape, pair = decoder.shape, (3, 3 + decoder.shape.head_dim // 2)
    layers = []
    for layer in decoder.weights.layers:
        q, k = (layer.linears[name].weights.dequantize().copy() for name in "qk")
        q.reshape(shape.hidden, shape.heads, -1)[:, :, pair] /= 16
        k.reshape(shape.hidden, shape.kv_heads, -1)[:, :, pair] *= 16
        outlying = {"q": Linear(FloatWeights(q)), "k": Linear(FloatWeights(k))}  # pyright: ignore[reportArgumentType]
        layers.append(replace(layer, linears={**layer.linears, **outlying}))
    return decoder.with_weights(replace(decoder.weights, layers=layers), "outliers")


@pytest.mark.hf
@pytest.mark.parametrize("seed", [0, 1])
def test_learning_smooths_what_the_analytic_start_cannot(seed: int):
    """The loss that is trained falls in every block, and with it the error of the whole model on the same tokens."""
    decoder = outlier_decoder(seed)
    losses: list[list[float]] = []
    training = FsbrTraining(epochs=6, learning_rate=0.02)
    learned = learned_blocks(decoder, CALIBRATION, CONFIG, training, lambda _, epochs: losses.append(epochs))
    assert len(losses) == decoder.shape.layers
    assert losses[0][-1] < 0.75 * losses[0][0]
    assert losses[1][-1] < losses[1][0]
    reference = decoder.nll(CALIBRATION)
    errors = [
        np.linalg.norm(FakeQuantDecoder(decoder.weights, blocks, CONFIG).nll(CALIBRATION) - reference)
        for blocks in (learned, smoothed_blocks(decoder, CALIBRATION))
    ]
    assert errors[0] < 0.85 * errors[1]


@pytest.mark.hf
def test_torch_twin_is_the_fake_quantised_decoder():
    import torch
    from anda_codesign.formats.integer_only import HeadLayout, smooth_llama_block
    from anda_codesign.workloads.integer_only.fsbr import _block_factors, _Twin

    decoder = outlier_decoder()
    layout = HeadLayout(decoder.shape.heads, decoder.shape.kv_heads)
    twin = _Twin(torch, decoder, layout, CONFIG)
    block, rng = float_blocks(decoder.weights)[0], np.random.default_rng(4)
    sizes = {"qkv": 128, "out": 64, "query_key": 32, "fc1": 128, "gate_up": 384, "fc2": 384}
    factors = {name: torch.tensor(rng.uniform(0.5, 2, size).astype(np.float32)) for name, size in sizes.items()}
    weights = {name: torch.tensor(array) for name, array in block.items()}
    x = decoder.weights.embedding[CALIBRATION[0]]
    plain = twin.forward(weights, torch.tensor(x), quantized=False).numpy()
    np.testing.assert_allclose(plain, decoder.hidden(CALIBRATION[0], layers=1), atol=1e-4)
    folded = twin.fold(weights, factors)
    np.testing.assert_allclose(twin.forward(folded, torch.tensor(x), quantized=False).numpy(), plain, atol=1e-4)
    expected = smooth_llama_block(block, _block_factors(factors, layout), layout)
    assert folded.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(folded[name].numpy(), array, rtol=1e-5)


def test_training_refuses():
    for field, value in (("epochs", 0), ("learning_rate", 0.0)):
        with pytest.raises(InputError, match=f"^{field}: {value} "):
            FsbrTraining(**{field: value})  # pyright: ignore[reportArgumentType]


def test_without_torch_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError) as caught:
        learned_blocks(synthetic_decoder(), CALIBRATION, CONFIG)
    assert str(caught.value).startswith("torch: is not installed")

import sys
from dataclasses import replace

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import Decoder, synthetic_decoder
from anda_codesign.workloads.fake_quant import FakeQuantDecoder
from anda_codesign.workloads.integer_weights import IntegerConfig
from anda_codesign.workloads.reconstruction import Training, learned_blocks
from anda_codesign.workloads.smoothed_blocks import float_blocks, smoothed_blocks

CONFIG = IntegerConfig(weight_bits=4, activation_bits=4)
CALIBRATION = np.random.default_rng(3).integers(0, 256, (4, 24)).astype(np.int32)


def outlier_decoder() -> Decoder:
    """A random model whose norm gains and up projections have outlier channels, which smoothing is for."""
    decoder = synthetic_decoder()
    layers = []
    for layer in decoder.weights.layers:
        gain = layer.ffn_norm.gain.copy()
        gain[::17] *= 12
        layers.append(replace(layer, ffn_norm=replace(layer.ffn_norm, gain=gain)))
    return decoder.with_weights(replace(decoder.weights, layers=layers), "outliers")


@pytest.mark.hf
def test_learning_lowers_the_loss_and_keeps_the_function():
    decoder = outlier_decoder()
    losses: list[list[float]] = []
    blocks = learned_blocks(
        decoder, CALIBRATION, CONFIG, Training(epochs=8), progress=lambda _, epochs: losses.append(epochs)
    )
    assert len(losses) == decoder.shape.layers
    assert all(min(epochs[1:]) < epochs[0] for epochs in losses)
    analytic = smoothed_blocks(decoder, CALIBRATION)
    reference = decoder.nll(CALIBRATION)
    learned_error, analytic_error = (
        np.abs(FakeQuantDecoder(decoder.weights, one, CONFIG).nll(CALIBRATION) - reference).mean()
        for one in (blocks, analytic)
    )
    assert learned_error < 0.95 * analytic_error
    assert all((block["gate_smooth"] > 0).all() for block in blocks)


@pytest.mark.hf
def test_torch_twin_is_the_fake_quantised_decoder():
    import torch

    from anda_codesign.formats.integer import HeadLayout, smooth_llama_block
    from anda_codesign.workloads.reconstruction import _block_factors, _Twin

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: 0 is too few; use 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0 is not positive; use for instance 5e-3"),
    ],
)
def test_training_refuses(options: dict[str, float], message: str):
    with pytest.raises(InputError) as caught:
        Training(**options)  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == message


def test_without_torch_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError) as caught:
        learned_blocks(synthetic_decoder(), CALIBRATION, CONFIG)
    assert str(caught.value) == "torch: is not installed, and learning needs it; install anda-codesign[hf]"

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import Decoder, TextBlocks, synthetic_decoder
from anda_codesign.workloads.integer_only import fsbr
from anda_codesign.workloads.integer_only.float_reference import FakeQuantDecoder
from anda_codesign.workloads.integer_only.fsbr import FactorStore, FsbrTraining, learned_blocks
from anda_codesign.workloads.integer_only.smoothed_blocks import float_blocks, smoothed_blocks
from anda_codesign.workloads.integer_only.weights import IntegerConfig
from anda_codesign.workloads.models.parameters import Linear

CONFIG = IntegerConfig(weight_bits=8, activation_bits=4)
CALIBRATION = np.random.default_rng(3).integers(0, 256, (4, 24)).astype(np.int32)
TEXT = TextBlocks(CALIBRATION)
TRAINING = FsbrTraining(epochs=6, factor_rate=0.02)


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
    learned = learned_blocks(decoder, TEXT, CONFIG, TRAINING, progress=lambda _, epochs: losses.append(epochs))
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
def test_what_was_learned_is_kept_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that was killed after the first block goes on to the same result; other settings start anew."""
    decoder, training = outlier_decoder(), replace(TRAINING, epochs=1)
    expected = learned_blocks(decoder, TEXT, CONFIG, training)

    def kill(_layer: int, _losses: list[float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned_blocks(decoder, TEXT, CONFIG, training, tmp_path, kill)
    assert [path.name for path in tmp_path.glob("fsbr-*/*")] == ["block-000.factors"]
    for _ in range(2):
        found = learned_blocks(decoder, TEXT, CONFIG, training, tmp_path)
        for own, other in zip(found, expected, strict=True):
            for name, array in other.items():
                np.testing.assert_array_equal(own[name], array)
        monkeypatch.setattr(fsbr._Trainer, "train", None)  # the second time nothing is left to train
    others = [
        FactorStore.of(tmp_path, decoder, TEXT, replace(CONFIG, activation_bits=5), training),
        FactorStore.of(tmp_path, decoder, TEXT, CONFIG, TRAINING),
        FactorStore.of(tmp_path, decoder, TextBlocks(CALIBRATION[:2]), CONFIG, training),
    ]
    assert all(store.read(0) is None for store in others)


@pytest.mark.hf
def test_torch_block_is_the_fake_quantised_decoder():
    import torch
    from anda_codesign.formats.integer_only import HeadLayout, smooth_llama_block
    from anda_codesign.formats.integer_only.smoothing import BlockFactors
    from anda_codesign.workloads.integer_only.torch_block import TorchBlock

    decoder = outlier_decoder()
    layout = HeadLayout(decoder.shape.heads, decoder.shape.kv_heads)
    twin = TorchBlock(torch, decoder, CONFIG)
    block, rng = float_blocks(decoder.weights)[0], np.random.default_rng(4)
    sizes = {"qkv": 128, "out": 64, "query_key": 32, "fc1": 128, "gate_up": 384, "fc2": 384}
    values = {name: rng.uniform(0.5, 2, size).astype(np.float32) for name, size in sizes.items()}
    factors = {name: torch.tensor(value) for name, value in values.items()}
    weights = {name: torch.tensor(array) for name, array in block.items()}
    x = decoder.weights.embedding[CALIBRATION[0]]
    plain = twin.forward(weights, torch.tensor(x), quantized=False).numpy()
    np.testing.assert_allclose(plain, decoder.hidden(CALIBRATION[0], layers=1), atol=1e-4)
    folded = twin.fold(weights, factors)
    np.testing.assert_allclose(twin.forward(folded, torch.tensor(x), quantized=False).numpy(), plain, atol=1e-4)
    pairs = np.repeat(values["query_key"].reshape(layout.kv_heads, 1, -1), 2, axis=1).reshape(-1)
    expected = smooth_llama_block(block, BlockFactors(**values | {"query_key": pairs}), layout)
    assert folded.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(folded[name].numpy(), array, rtol=1e-5)
    quantized = twin.forward(folded, torch.tensor(x), quantized=True).numpy()
    reference = FakeQuantDecoder(decoder.weights, [expected], CONFIG)
    own = x.copy()
    reference._block(reference._blocks[0], own)
    assert np.linalg.norm(quantized - own) < 0.02 * np.linalg.norm(quantized - plain)


@pytest.mark.hf
def test_clipping_leaves_a_share_of_each_end_of_an_output_channel():
    import torch
    from anda_codesign.workloads.integer_only.torch_block import TorchBlock

    decoder = outlier_decoder()
    weights = {name: torch.tensor(array) for name, array in float_blocks(decoder.weights)[0].items()}
    shares = {name: torch.full((2, w.shape[1]), 0.5) for name, w in weights.items() if w.ndim == 2}
    shares["q"][1] = 0.25
    clipped = TorchBlock(torch, decoder, CONFIG).clip(weights, shares)
    q = weights["q"].numpy()
    np.testing.assert_array_equal(clipped["q"].numpy(), np.clip(q, 0.5 * q.min(axis=0), 0.25 * q.max(axis=0)))
    np.testing.assert_array_equal(clipped["input_norm"].numpy(), weights["input_norm"].numpy())


def test_training_refuses():
    for field, value in (("epochs", 0), ("factor_rate", 0.0), ("clip_rate", -1.0)):
        with pytest.raises(InputError, match=f"^{field}: {value} "):
            FsbrTraining(**{field: value})  # pyright: ignore[reportArgumentType]


def test_without_torch_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError) as caught:
        learned_blocks(synthetic_decoder(), TEXT, CONFIG)
    assert str(caught.value).startswith("torch: is not installed")

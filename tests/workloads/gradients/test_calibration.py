"""Calibration statistics of a small model."""

import numpy as np
from anda_codesign.workloads import TextBlocks, synthetic_decoder
from anda_codesign.workloads.gradients.backward import backward
from anda_codesign.workloads.gradients.calibration import fisher_information, hessians
from anda_codesign.workloads.models.parameters import FloatArray, linear_names

DECODER = synthetic_decoder()
BLOCKS = TextBlocks(np.random.default_rng(0).integers(0, 256, (3, 20)).astype(np.int32))


def captured(module: str, layer: int) -> FloatArray:
    """Inputs of a module, all blocks: ``[blocks, tokens, channels]``."""
    inputs: list[FloatArray] = []

    def capture(own: str, at: int, x: FloatArray) -> FloatArray:
        if (own, at) == (module, layer):
            inputs.append(x.copy())
        return x

    for tokens in BLOCKS.tokens:
        DECODER.hidden(tokens, capture)
    return np.stack(inputs)


def test_hessians_are_those_of_the_inputs() -> None:
    found = hessians(DECODER, BLOCKS)
    assert set(found) == {(layer, module) for layer in range(2) for module in ("qkv", "o", "u", "d")}
    for (layer, module), hessian in found.items():
        x = captured(module, layer).reshape(60, -1).astype(np.float64)
        np.testing.assert_allclose(hessian, 2 / 60 * x.T @ x, rtol=1e-3, atol=1e-4 * np.abs(hessian).max())


def test_the_first_token_counts_more_where_it_should() -> None:
    plain, weighted = hessians(DECODER, BLOCKS), hessians(DECODER, BLOCKS, sink_weight=8, sink_modules=("o",))
    np.testing.assert_array_equal(weighted[1, "qkv"], plain[1, "qkv"])
    x = captured("o", 1).astype(np.float64)
    x[:, 0] *= 8**0.5
    x = x.reshape(60, -1)
    expected = 2 / (57 + 3 * 8) * x.T @ x
    np.testing.assert_allclose(weighted[1, "o"], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_fisher_information_is_the_mean_of_the_squares() -> None:
    found = fisher_information(DECODER, BLOCKS)
    assert set(found) == {(layer, name) for layer in range(2) for name in linear_names(DECODER.shape)}
    squares: list[FloatArray] = []
    for tokens in BLOCKS.tokens:
        backward(
            DECODER, tokens, lambda layer, name, own: squares.append(own**2) if (layer, name) == (1, "k") else None
        )
    np.testing.assert_allclose(found[1, "k"], np.mean(squares, axis=0), rtol=1e-5)


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    hessians(DECODER, BLOCKS, progress=lambda *done: calls.append(done))
    fisher_information(DECODER, BLOCKS, progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)] * 2

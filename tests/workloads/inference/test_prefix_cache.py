from dataclasses import replace

import numpy as np
import pytest
from anda_codesign.workloads import (
    AndaActivations,
    Fp16Activations,
    LayeredActivations,
    ModuleActivations,
    Precision,
    PrefixCache,
    TextBlocks,
    evaluate,
    synthetic_decoder,
)
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_LLAMA

LAYERS = 5
DECODER = synthetic_decoder(replace(SYNTHETIC_LLAMA, layers=LAYERS))
BLOCKS = TextBlocks(np.random.default_rng(1).integers(0, 256, (3, 20)).astype(np.int32))
BASE = AndaActivations(Precision.uniform(8))
COARSE = AndaActivations(Precision.uniform(3))


def layers_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every layer that the decoder runs from now on."""
    seen: list[int] = []
    run = DECODER.run

    def counting(x, layers, hook=None):  # type: ignore[no-untyped-def]
        layers = list(layers)
        seen.extend(layers)
        run(x, layers, hook)

    monkeypatch.setattr(DECODER, "run", counting)
    return seen


def test_layered_activations_change_their_layers_alone():
    for layer in range(LAYERS):
        x = np.random.default_rng(2).standard_normal((4, 128), np.float32)
        hook = LayeredActivations(BASE, {layer: COARSE})
        for number in range(LAYERS):
            expected = (COARSE if number == layer else BASE)("u", number, x)
            np.testing.assert_array_equal(hook("u", number, x), expected)


def test_same_values_as_the_decoder():
    for layers in [{}, {0: COARSE}, {3: COARSE}, {4: COARSE}, {1: COARSE, 3: Fp16Activations()}]:
        hook = LayeredActivations(BASE, layers)
        cache = PrefixCache(DECODER, BASE)
        for _ in range(2):
            np.testing.assert_array_equal(evaluate(cache, BLOCKS, hook), DECODER.nll(BLOCKS.tokens, hook))


def test_only_layers_that_differ_run(monkeypatch: pytest.MonkeyPatch):
    cache = PrefixCache(DECODER, BASE)
    evaluate(cache, BLOCKS, BASE)
    seen = layers_run(monkeypatch)
    evaluate(cache, BLOCKS, LayeredActivations(BASE, {3: COARSE}))
    assert seen == [3, 4] * len(BLOCKS.tokens)


@pytest.mark.parametrize("hook", [COARSE, LayeredActivations(COARSE, {3: BASE})])
def test_another_base_runs_in_full(hook: AndaActivations, monkeypatch: pytest.MonkeyPatch):
    expected = DECODER.nll(BLOCKS.tokens, hook)
    seen = layers_run(monkeypatch)
    np.testing.assert_array_equal(evaluate(PrefixCache(DECODER, BASE), BLOCKS, hook), expected)
    assert seen == list(range(LAYERS)) * len(BLOCKS.tokens)


def test_the_oldest_block_gives_way(monkeypatch: pytest.MonkeyPatch):
    cache = PrefixCache(DECODER, BASE, blocks=2)
    hook = LayeredActivations(BASE, {4: COARSE})
    evaluate(cache, BLOCKS, hook)
    seen = layers_run(monkeypatch)
    evaluate(cache, TextBlocks(BLOCKS.tokens[1:]), hook)
    assert seen == [4, 4]
    evaluate(cache, TextBlocks(BLOCKS.tokens[:1]), hook)
    assert seen == [4, 4, *range(LAYERS), 4]


def test_hooks_are_equal_by_value():
    hooks = [
        BASE,
        LayeredActivations(BASE, {1: COARSE}),
        LayeredActivations(BASE, {2: COARSE}),
        LayeredActivations(COARSE, {2: BASE}),
        LayeredActivations(BASE, {1: COARSE, 2: COARSE}),
        ModuleActivations(BASE, {"o": COARSE}),
        ModuleActivations(BASE, {"d": COARSE}),
    ]
    assert len(set(hooks)) == len(hooks)
    assert AndaActivations(Precision.uniform(8), group_size=64) == BASE
    orders = [LayeredActivations(BASE, dict(pairs)) for pairs in ([(1, COARSE), (2, BASE)], [(2, BASE), (1, COARSE)])]
    assert orders[0] == orders[1]

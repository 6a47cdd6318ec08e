from collections.abc import Mapping

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import (
    BlockFactors,
    HeadLayout,
    analytic_llama_factors,
    analytic_scale,
    smooth_llama_block,
    smooth_opt_block,
)
from anda_codesign.formats.integer_only.smoothing import smooth_norm, smooth_query_key

HIDDEN, FFN, HEAD, TOKENS = 24, 40, 8, 6
GROUPED, FULL = HeadLayout(heads=3, kv_heads=1), HeadLayout(heads=3, kv_heads=3)

Weights = Mapping[str, np.ndarray]


def random_block(layout: HeadLayout, opt: bool, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    queries, keys = layout.heads * HEAD, layout.kv_heads * HEAD
    shapes = {"q": (HIDDEN, queries), "k": (HIDDEN, keys), "v": (HIDDEN, keys), "o": (queries, HIDDEN)}
    shapes |= (
        {"fc1": (HIDDEN, FFN), "fc2": (FFN, HIDDEN)}
        if opt
        else {"gate": (HIDDEN, FFN), "up": (HIDDEN, FFN), "down": (FFN, HIDDEN)}
    )
    block = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    norms = ("attn_norm", "final_norm") if opt else ("input_norm", "post_norm")
    block |= {name: rng.uniform(0.5, 2, HIDDEN) for name in norms}
    if opt:
        block |= {f"{name}_bias": rng.normal(0, 0.3, block[name].shape[-1]) for name in list(block)}
    return {name: array.astype(np.float32) for name, array in block.items()}


def random_scale(channels: int, seed: int) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, 1, channels)).astype(np.float32)


def paired(scale: np.ndarray, kv_heads: int) -> np.ndarray:
    """Equal on the two halves of every head, as rotary embeddings need."""
    halves = scale.reshape(kv_heads, 2, -1)
    return np.concatenate([halves[:, :1], halves[:, :1]], axis=1).ravel()


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[name] + weights.get(name + "_bias", np.float32(0))


def rotate(x: np.ndarray) -> np.ndarray:
    """Half-split rotary embedding of [tokens, heads, head]."""
    angles = np.arange(TOKENS)[:, None] * 0.7 ** np.arange(HEAD // 2)
    cos, sin = (f(angles).astype(np.float32)[:, None] for f in (np.cos, np.sin))
    low, high = np.split(x, 2, axis=-1)
    return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def attention(weights: Weights, x: np.ndarray, layout: HeadLayout, rotary: bool) -> np.ndarray:
    q, k, v = (linear(weights, name, x).reshape(TOKENS, -1, HEAD) for name in "qkv")
    if rotary:
        q, k = rotate(q), rotate(k)
    k, v = (np.repeat(part, layout.heads // layout.kv_heads, axis=1) for part in (k, v))
    scores = np.einsum("ihc,jhc->hij", q, k) / np.float32(HEAD**0.5)
    scores = np.where(np.tri(TOKENS, dtype=bool), scores, np.float32(-1e30))
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = np.einsum("hij,jhc->ihc", e / e.sum(axis=-1, keepdims=True), v)
    return linear(weights, "o", mixed.reshape(TOKENS, -1))


def llama_block(weights: Weights, x: np.ndarray, layout: HeadLayout) -> np.ndarray:
    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True)) * weights[name]

    x = x + attention(weights, norm("input_norm", x), layout, rotary=True)
    y = norm("post_norm", x)
    gate, up = y @ weights["gate"], y @ weights["up"]
    argument = gate / weights.get("gate_smooth", np.float32(1))
    return x + (gate / (1 + np.exp(-argument)) * up) @ weights["down"]


def opt_block(weights: Weights, x: np.ndarray, layout: HeadLayout) -> np.ndarray:
    def norm(name: str, x: np.ndarray) -> np.ndarray:
        centered = x - x.mean(axis=-1, keepdims=True)
        scaled = centered / np.sqrt(np.mean(centered**2, axis=-1, keepdims=True))
        return scaled * weights[name] + weights[name + "_bias"]

    x = x + attention(weights, norm("attn_norm", x), layout, rotary=False)
    return x + linear(weights, "fc2", np.maximum(linear(weights, "fc1", norm("final_norm", x)), 0))


def inputs() -> np.ndarray:
    return np.random.default_rng(99).normal(0, 1, (TOKENS, HIDDEN)).astype(np.float32)


def assert_same_function(before: np.ndarray, after: np.ndarray) -> None:
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()


@pytest.mark.parametrize("layout", [GROUPED, FULL])
@pytest.mark.parametrize("only", ["qkv", "fc1", "out", "query_key", "gate_up", "fc2", "all"])
def test_llama_folds_preserve_the_block(layout: HeadLayout, only: str):
    block, keys = random_block(layout, opt=False), layout.kv_heads * HEAD
    factors = {
        "qkv": random_scale(HIDDEN, 1),
        "fc1": random_scale(HIDDEN, 2),
        "out": random_scale(keys, 3),
        "query_key": paired(random_scale(keys, 4), layout.kv_heads),
        "gate_up": random_scale(FFN, 5),
        "fc2": random_scale(FFN, 6),
    }
    chosen = factors if only == "all" else {only: factors[only]}
    folded = smooth_llama_block(block, BlockFactors(**chosen), layout)
    changed = {name for name in folded if name not in block or not np.array_equal(folded[name], block[name])}
    assert changed
    assert_same_function(llama_block(block, inputs(), layout), llama_block(folded, inputs(), layout))


@pytest.mark.parametrize("layout", [GROUPED, FULL])
def test_opt_folds_preserve_the_block(layout: HeadLayout):
    block, keys = random_block(layout, opt=True), layout.kv_heads * HEAD
    factors = BlockFactors(
        qkv=random_scale(HIDDEN, 1),
        fc1=random_scale(HIDDEN, 2),
        out=random_scale(keys, 3),
        query_key=random_scale(keys, 4),
        fc2=random_scale(FFN, 6),
        fc1_shift=np.random.default_rng(7).normal(0, 0.3, HIDDEN).astype(np.float32),
    )
    folded = smooth_opt_block(block, factors, layout)
    assert not np.array_equal(folded["fc1_bias"], block["fc1_bias"])
    assert_same_function(opt_block(block, inputs(), layout), opt_block(folded, inputs(), layout))


def test_shift_creates_missing_biases():
    block = random_block(FULL, opt=False)
    shift = random_scale(HIDDEN, 8)
    folded = smooth_norm(block, "input_norm", ("q",), random_scale(HIDDEN, 9), shift)
    x = inputs() * block["input_norm"]
    after = (inputs() * folded["input_norm"] + folded["input_norm_bias"]) @ folded["q"] + folded["q_bias"]
    assert_same_function(x @ block["q"], after)


def test_gate_smoothing_accumulates_and_leaves_the_argument_alone():
    block = random_block(FULL, opt=False)
    kept = {name: array.copy() for name, array in block.items()}
    scale = random_scale(FFN, 10)
    once = smooth_llama_block(block, BlockFactors(gate_up=scale), FULL)
    twice = smooth_llama_block(once, BlockFactors(gate_up=scale), FULL)
    assert np.allclose(twice["gate_smooth"], scale**2)
    assert_same_function(llama_block(block, inputs(), FULL), llama_block(twice, inputs(), FULL))
    assert all(np.array_equal(block[name], kept[name]) for name in block)


def test_analytic_start_levels_the_ranges():
    """With alpha 1/2, a smoothed channel and the weights that consume it have the same maximum."""
    block = random_block(GROUPED, opt=False)
    maxima = {name: random_scale(size, 20) * 9 for name, size in (("qkv", 24), ("o", 24), ("u", 24), ("d", FFN))}
    factors = analytic_llama_factors(block, maxima, GROUPED)
    assert factors.query_key is None and factors.gate_up is None
    folded = smooth_llama_block(block, factors, GROUPED)
    assert_same_function(llama_block(block, inputs(), GROUPED), llama_block(folded, inputs(), GROUPED))
    assert factors.fc2 is not None and factors.out is not None and factors.out.shape == (HEAD,)
    assert np.allclose(maxima["d"] / factors.fc2, np.abs(folded["down"]).max(axis=1), rtol=1e-5)
    assert factors.qkv is not None
    folded = smooth_llama_block(block, BlockFactors(qkv=factors.qkv), GROUPED)
    largest = [np.abs(folded[name]).max(axis=1) for name in "qkv"]
    assert np.allclose(maxima["qkv"] / factors.qkv, np.max(largest, axis=0), rtol=1e-5)


def test_analytic_scale_of_dead_channels_stays_positive():
    scale = analytic_scale(np.array([0.0, 4.0]), np.array([1.0, 0.0]))
    assert scale.tolist() == [1e-5, pytest.approx(2 / 1e-5**0.5)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HeadLayout(9, 4), "heads: is 9"),
        (lambda: HeadLayout(9, 0), "heads: is 9"),
        (lambda: analytic_scale(np.ones(2), np.ones(3)), "weight_max: has shape (3,)"),
        (lambda: analytic_scale(np.ones(2), np.ones(2), 1.5), "alpha: 1.5 "),
        (
            lambda: smooth_llama_block(random_block(FULL, opt=False), BlockFactors(qkv=np.ones(3)), FULL),
            "scale: has shape [3]",
        ),
        (
            lambda: smooth_llama_block(random_block(FULL, opt=False), BlockFactors(fc2=np.zeros(FFN)), FULL),
            "scale: holds values that are not positive and finite",
        ),
        (
            lambda: smooth_llama_block(random_block(FULL, opt=False), BlockFactors(fc1=np.full(24, np.nan)), FULL),
            "scale: holds values that are not positive and finite",
        ),
        (
            lambda: smooth_query_key(random_block(FULL, opt=False), np.arange(1.0, 25), FULL, rotary=True),
            "scale: channels i and i + head/2 of a head differ",
        ),
        (
            lambda: smooth_opt_block(random_block(FULL, opt=True), BlockFactors(gate_up=np.ones(FFN)), FULL),
            "gate_up: does not exist in an OPT block",
        ),
    ],
)
def test_refuses(call: object, message: str):
    with pytest.raises(InputError) as caught:
        call()  # pyright: ignore[reportCallIssue]
    assert str(caught.value).startswith(message)

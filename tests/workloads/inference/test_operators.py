import numpy as np
from anda_codesign.workloads.inference import operators
from anda_codesign.workloads.models.parameters import FloatArray

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def test_rms_norm(rng: np.random.Generator):
    x, gain = rng.standard_normal((5, 8), np.float32) * 3, rng.standard_normal(8, np.float32)
    expected = [row / np.sqrt(np.mean(row.astype(float) ** 2) + 0.5) * gain for row in x]
    np.testing.assert_allclose(operators.rms_norm(x, gain, 0.5), expected, **CLOSE)


def test_layer_norm(rng: np.random.Generator):
    x, gain, bias = 7 + rng.standard_normal((5, 8), np.float32), *rng.standard_normal((2, 8), np.float32)
    expected = [(row - row.mean()) / np.sqrt(row.var() + 0.5) * gain + bias for row in x.astype(float)]
    np.testing.assert_allclose(operators.layer_norm(x, gain, bias, 0.5), expected, **CLOSE)


def test_swiglu(rng: np.random.Generator):
    gate, up = rng.standard_normal((2, 4, 6), np.float32) * 5
    expected = gate / (1 + np.exp(-gate.astype(float))) * up
    np.testing.assert_allclose(operators.swiglu(np.concatenate([gate, up], axis=1)), expected, **CLOSE)


def test_swiglu_of_large_gates_is_silent():
    x = np.array([[-1000.0, 1000.0, 2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(operators.swiglu(x), [[0, 3000]])


def test_relu():
    np.testing.assert_array_equal(operators.relu(np.array([[-1.0, 0.0, 2.0]], np.float32)), [[0, 0, 2]])


def test_rotation_by_complex_numbers(rng: np.random.Generator):
    tokens, heads, head_dim, theta = 9, 2, 8, 50.0
    x = rng.standard_normal((tokens, heads, head_dim), np.float32)
    rotated = operators.rotate(x, operators.rope_table(tokens, head_dim, theta))
    for token in range(tokens):
        for pair in range(head_dim // 2):
            turn = np.exp(1j * token * theta ** (-2 * pair / head_dim))
            expected = (x[token, :, pair] + 1j * x[token, :, pair + head_dim // 2]) * turn
            np.testing.assert_allclose(rotated[token, :, pair], expected.real, **CLOSE)
            np.testing.assert_allclose(rotated[token, :, pair + head_dim // 2], expected.imag, **CLOSE)


def slow_attention(queries: FloatArray, keys: FloatArray, values: FloatArray) -> np.ndarray:
    """One query at a time, in float64."""
    tokens, heads, head_dim = queries.shape
    group = heads // keys.shape[1]
    out = np.zeros((tokens, heads, head_dim))
    for token in range(tokens):
        for head in range(heads):
            past = slice(0, token + 1)
            scores = keys[past, head // group].astype(float) @ queries[token, head] / head_dim**0.5
            weights = np.exp(scores - scores.max())
            out[token, head] = weights @ values[past, head // group] / weights.sum()
    return out.reshape(tokens, -1)


def test_causal_attention():
    for heads, kv_heads in [(4, 4), (6, 2), (3, 1)]:
        for tokens in [1, 5, operators.QUERY_TILE, operators.QUERY_TILE + 3]:
            rng = np.random.default_rng(0)
            queries = 3 * rng.standard_normal((tokens, heads, 8), np.float32)
            keys, values = rng.standard_normal((2, tokens, kv_heads, 8), np.float32)
            expected = slow_attention(queries, keys, values)
            np.testing.assert_allclose(operators.causal_attention(queries, keys, values), expected, **CLOSE)


def test_token_nll(rng: np.random.Generator):
    for tokens in [1, operators.HEAD_TILE, operators.HEAD_TILE + 7]:
        hidden, head = 4 * rng.standard_normal((tokens, 16), np.float32), rng.standard_normal((50, 16), np.float32)
        targets = rng.integers(0, 50, tokens)
        logits = hidden.astype(float) @ head.T.astype(float)
        expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(tokens), targets]
        np.testing.assert_allclose(operators.token_nll(hidden, head, targets), expected, **CLOSE)


def test_token_nll_of_large_logits(rng: np.random.Generator):
    hidden, head = np.array([[1000.0]], np.float32), np.array([[1.0], [0.999]], np.float32)
    nll = operators.token_nll(hidden, head, np.array([1]))
    np.testing.assert_allclose(nll, [1 + np.log1p(np.exp(-1))], rtol=1e-3)

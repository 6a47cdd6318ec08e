from dataclasses import dataclass, replace

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import DyadicTensor
from anda_codesign.workloads import Decoder, load_blocks, synthetic_decoder
from anda_codesign.workloads.integer_only.decoder import IntegerDecoder
from anda_codesign.workloads.integer_only.float_reference import FakeQuantDecoder, fake_quantize_asymmetric
from anda_codesign.workloads.integer_only.smoothed_blocks import float_blocks, smoothed_blocks
from anda_codesign.workloads.integer_only.weights import (
    IntegerConfig,
    IntegerDecoderWeights,
    quantize_decoder,
    quantize_factors,
    quantize_matrix,
    quantize_rows,
    rope_table,
)
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT
from anda_codesign.workloads.models.parameters import Linear, Norm
from integers_only import IntegersOnly

DECODER = synthetic_decoder()
RNG = np.random.default_rng(1)
TOKENS = RNG.integers(0, 256, 40).astype(np.int32)
CALIBRATION = RNG.integers(0, 256, (2, 30)).astype(np.int32)
BLOCKS = smoothed_blocks(DECODER, CALIBRATION)


def integer_decoder(**options: object) -> IntegerDecoder:
    config = IntegerConfig(**options)  # pyright: ignore[reportArgumentType]
    return IntegerDecoder(IntegerDecoderWeights.quantize(DECODER.weights, BLOCKS, config))


def relative_error(logits: np.ndarray) -> float:
    expected = DECODER.logits(TOKENS)
    return float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("anchor", ["zero", "minimum"])
def test_no_float_between_token_ids_and_logits(bits: int, anchor: str):
    """A guarded embedding makes every array that depends on a token guarded, and any float operation on those fails."""
    decoder = integer_decoder(weight_bits=bits, activation_bits=bits, anchor=anchor, engine="integer")
    plain = decoder.logits(TOKENS)
    embedding = decoder.weights.embedding.map(IntegersOnly.wrap)
    logits = IntegerDecoder(replace(decoder.weights, embedding=embedding)).logits(TOKENS)
    for part in (logits.codes, logits.m, logits.k, logits.zero_point):
        assert isinstance(part, IntegersOnly)
    assert np.array_equal(logits.codes.view(np.ndarray), plain.codes)


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_engines_give_the_same_logits_bit_for_bit(bits: int):
    fast, slow = (
        integer_decoder(weight_bits=bits, activation_bits=bits, engine=engine).logits(TOKENS)
        for engine in ("blas", "integer")
    )
    for name in ("codes", "m", "k"):
        assert np.array_equal(getattr(fast, name), getattr(slow, name))


def test_a_prefix_gives_the_same_integers_as_the_whole():
    """Every dynamic scale belongs to one token: prefill and token-by-token decoding agree exactly."""
    decoder = integer_decoder()
    whole = decoder.logits(TOKENS)
    for length in (1, 2, 17):
        prefix = decoder.logits(TOKENS[:length])
        for name in ("codes", "m", "k"):
            assert np.array_equal(getattr(prefix, name), getattr(whole, name)[:length])


def test_logits_approach_the_float_model_with_more_bits():
    errors = [
        relative_error(integer_decoder(weight_bits=bits, activation_bits=bits).logits(TOKENS).dequantize())
        for bits in (4, 6, 8)
    ]
    assert errors[0] > 2 * errors[1] > 3 * errors[2]
    assert errors[2] < 0.08


def test_fake_quantisation_is_as_far_from_the_float_model():
    """The integer arithmetic adds little to what the widths alone cost."""
    reference = DECODER.nll(TOKENS[None])
    for bits in (8, 6, 4):
        config = IntegerConfig(weight_bits=bits, activation_bits=bits)
        fake = FakeQuantDecoder(DECODER.weights, BLOCKS, config).nll(TOKENS[None]) - reference
        whole = (
            IntegerDecoder(IntegerDecoderWeights.quantize(DECODER.weights, BLOCKS, config)).nll(TOKENS[None])
            - reference
        )
        assert np.abs(fake).mean() > 1e-4
        assert np.abs(whole).mean() < 1.5 * np.abs(fake).mean() + 0.01


def test_nll_is_that_of_the_integer_logits():
    decoder = integer_decoder()
    logits = decoder.logits(TOKENS[:-1]).dequantize()
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), TOKENS[1:]]
    np.testing.assert_allclose(decoder.nll(TOKENS[None])[0], expected, rtol=1e-12)


def test_nll_does_not_depend_on_the_head_tile(monkeypatch: pytest.MonkeyPatch):
    decoder = integer_decoder()
    whole = decoder.nll(TOKENS[None])
    monkeypatch.setattr("anda_codesign.workloads.integer_only.decoder.HEAD_TILE", 7)
    np.testing.assert_array_equal(decoder.nll(TOKENS[None]), whole)


@dataclass(frozen=True)
class FloatWeights:
    """Weights that are floats already."""

    w: np.ndarray

    def dequantize(self) -> np.ndarray:
        return self.w


def test_smoothed_blocks_compute_the_same_function():
    layers = []
    for layer, block in zip(DECODER.weights.layers, BLOCKS, strict=True):
        linears = {name: Linear(FloatWeights(block[name].astype(np.float32))) for name in layer.linears}  # pyright: ignore[reportArgumentType]
        norms = (Norm(block[name].astype(np.float32)) for name in ("input_norm", "post_norm"))
        layers.append(replace(layer, linears=linears, **dict(zip(("attention_norm", "ffn_norm"), norms, strict=True))))
    folded = Decoder(replace(DECODER.weights, layers=layers), None, "")
    assert not np.allclose(layers[0].linears["q"].weights.dequantize(), DECODER.linear(0, "q").dequantize(), rtol=0.1)
    expected = DECODER.logits(TOKENS)
    assert np.abs(folded.logits(TOKENS) - expected).max() < 1e-5 * np.abs(expected).max()


def test_gate_smoothing_reaches_the_integer_sigmoid():
    """A gate scaled by s gives the same activations, if 1/s arrives inside the sigmoid."""
    scale = np.exp2(RNG.integers(-2, 3, DECODER.shape.ffn)).astype(np.float32)
    scaled = [
        {**block, "gate": block["gate"] * scale, "up": block["up"] / scale, "gate_smooth": scale} for block in BLOCKS
    ]
    logits = (
        IntegerDecoder(IntegerDecoderWeights.quantize(DECODER.weights, scaled, IntegerConfig()))
        .logits(TOKENS)
        .dequantize()
    )
    assert relative_error(logits) < 0.14
    forgotten = [{name: array for name, array in block.items() if name != "gate_smooth"} for block in scaled]
    wrong = IntegerDecoder(IntegerDecoderWeights.quantize(DECODER.weights, forgotten, IntegerConfig())).logits(TOKENS)
    assert relative_error(wrong.dequantize()) > 0.3


def test_weights_round_to_nearest():
    for bits in [2, 4, 8]:
        w = RNG.normal(0, 1, (50, 20)).astype(np.float32) * np.exp2(np.arange(20) / 4)
        w[:, 0], w[:, 1], w[:, 2] = 0, 0.7, np.abs(w[:, 2]) + 3
        q = quantize_matrix(w, bits)
        assert q.codes.dtype == np.uint8 and q.codes.max() < 2**bits
        step = np.ldexp(q.m[0].astype(float), -int(q.k))
        assert (np.abs(q.dequantize() - w) <= step * 1.0001).all()
        inside = (q.codes > 0) & (q.codes < 2**bits - 1)
        assert (np.abs(q.dequantize() - w) <= step * 0.5001)[inside].all()
        assert not q.dequantize()[:, 0].any()
        assert q.dequantize()[:, 1] == pytest.approx(0.7, rel=1e-2)
        assert 2**15 <= q.m.max() < 2**16
        assert q.zero_point.min() >= 0 and q.zero_point.max() < 2**bits


def test_factors_keep_16_bits():
    x = np.array([1.0, -3.99, 0.001])
    factors = quantize_factors(x)
    assert np.abs(factors.m).max() < 2**15
    assert np.abs(factors.m / 2.0**factors.k - x).max() <= 2.0 ** -(factors.k + 1)
    assert quantize_factors(np.array([np.nextafter(2.0, 0)])).m.tolist() == [2**15 - 1]


def test_embedding_rows_keep_16_bits():
    x = np.array([[0.3, -0.299], [100.0, 0.01], [0.0, 0.0], [1 - 2**-20, 0]], np.float32)
    rows = quantize_rows(x, 16)
    assert rows.codes.dtype == np.int16
    assert (np.abs(rows.dequantize() - x) <= np.ldexp(1.0, -rows.k)).all()
    assert (np.abs(rows.codes).max(axis=1)[[0, 1, 3]] >= 2**14).all()


def test_rope_table_is_the_rotation():
    cosine, sine = rope_table(9, 16, 10000.0)
    assert cosine.shape == sine.shape == (9, 1, 8) and cosine.dtype == np.int16
    assert np.abs(np.hypot(cosine.astype(float), sine) / 2**14 - 1).max() < 1e-4
    assert np.arctan2(sine[3, 0, 0], cosine[3, 0, 0]) == pytest.approx(3, abs=1e-4)


def test_fake_quantisation_has_one_step_per_row():
    for bits in [3, 8]:
        x = RNG.normal(0, 1, (5, 40)).astype(np.float32)
        y = fake_quantize_asymmetric(x, bits)
        step = np.ptp(x, axis=1, keepdims=True) / (2**bits - 1)
        assert np.abs(y - x).max() <= step.max()
        assert all(len(np.unique(row)) <= 2**bits for row in y)
        transposed = fake_quantize_asymmetric(np.ascontiguousarray(x.T), bits, axis=0)
        np.testing.assert_array_equal(transposed, y.T)


def test_refuses():
    cases = (
        (
            lambda: IntegerDecoderWeights.quantize(synthetic_decoder(SYNTHETIC_OPT).weights, [], IntegerConfig()),
            "model: synthetic-opt is not of the LLaMA architecture",
        ),
        (lambda: integer_decoder().logits(np.array([256])), r"tokens: ids must lie in 0\.\.255"),
        (lambda: integer_decoder().logits(np.zeros(257, np.int32)), "tokens: 257 do not fit the context of 256"),
        (lambda: quantize_factors(np.zeros(3)), r"factors: the largest magnitude is 0\.0"),
        (lambda: float_blocks(synthetic_decoder(SYNTHETIC_OPT).weights), "model: synthetic-opt is not of the LLaMA"),
    )
    for call, message in cases:
        with pytest.raises(InputError, match=f"^{message}"):
            call()


def test_widths_out_of_range_are_refused():
    for field, value, allowed in (
        ("weight_bits", 1, "2 to 8"),
        ("weight_bits", 9, "2 to 8"),
        ("activation_bits", 9, "2 to 8"),
        ("probability_bits", 17, "2 to 16"),
        ("residual_bits", 40, "8 to 32"),
    ):
        with pytest.raises(InputError, match=f"^{field}: {value} is not valid; .* from {allowed}$"):
            IntegerConfig(**{field: value})


def test_biases_are_refused():
    layer = DECODER.weights.layers[0]
    linears = {**layer.linears, "q": replace(layer.linears["q"], bias=np.ones(128, np.float32))}
    weights = replace(DECODER.weights, layers=[replace(layer, linears=linears)])
    with pytest.raises(
        InputError, match=r"^model: synthetic has biases in its linear layers; use a LLaMA model without$"
    ):
        float_blocks(weights)


def test_all_zero_embedding_row_gives_finite_logits():
    """Token 7 embeds to nothing: every row of its block is zero or constant."""
    embedding = DECODER.weights.embedding.copy()
    embedding[7] = 0
    weights = replace(DECODER.weights, embedding=embedding)
    logits = IntegerDecoder(IntegerDecoderWeights.quantize(weights, BLOCKS, IntegerConfig())).logits(
        np.array([7, 7, 3])
    )
    assert isinstance(logits, DyadicTensor)
    expected = Decoder(weights, None, "").logits(np.array([7, 7, 3], np.int32))
    assert np.abs(logits.dequantize() - expected).max() < 0.1 * np.abs(expected).max()


def test_evaluate_calibrates_and_runs():
    nll = IntegerDecoder(quantize_decoder(DECODER, IntegerConfig(), CALIBRATION)).nll(np.stack([TOKENS, TOKENS[::-1]]))
    assert nll.shape == (2, 39)
    np.testing.assert_array_equal(nll[:1], integer_decoder().nll(TOKENS[None]))


@pytest.mark.model
def test_smollm2_in_integers(smollm2: Decoder):
    """The real weights and activations, outliers included; the first four blocks, since all take half a minute."""
    shape = replace(smollm2.shape, layers=4)
    short = smollm2.with_weights(replace(smollm2.weights, shape=shape, layers=smollm2.weights.layers[:4]), "")
    block = load_blocks(smollm2.tokenizer, split="heldout", tokens=64, blocks=1).tokens
    calibration = load_blocks(smollm2.tokenizer, tokens=64, blocks=1).tokens
    difference = IntegerDecoder(quantize_decoder(short, IntegerConfig(), calibration)).nll(block) - short.nll(block)
    assert abs(difference.mean()) < 0.05
    assert np.abs(difference).mean() < 0.2

from pathlib import Path

import numpy as np
import pytest
from anda_codesign.workloads import AndaActivations, Decoder, Fp16Activations, Precision, TextBlocks, synthetic_decoder
from anda_codesign.workloads.evaluation.scores import (
    INVERSE_TEMPERATURES,
    Scorer,
    TokenScores,
    compare_scores,
    score_logits,
)

DECODER = synthetic_decoder()
HOOK = AndaActivations(Precision.uniform(4))
BLOCKS = TextBlocks(np.random.default_rng(3).integers(0, 250, (3, 40), dtype=np.int32))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def test_scores_are_those_of_their_definitions(rng: np.random.Generator):
    logits, reference = rng.normal(0, 3, (2, 7, 300)).astype(np.float32)
    targets = rng.integers(0, 300, 7, dtype=np.int32)
    own, expected = log_softmax(logits), log_softmax(reference)
    nll, kl, agreement, *tempered = score_logits(logits.copy(), reference.copy(), targets)
    assert nll == pytest.approx(-own[np.arange(7), targets], abs=1e-5)
    assert kl == pytest.approx((np.exp(expected) * (expected - own)).sum(axis=1), abs=1e-5)
    assert agreement.tolist() == (own.argmax(axis=1) == expected.argmax(axis=1)).tolist()
    for factor, values in zip(INVERSE_TEMPERATURES, tempered, strict=True):
        scaled = log_softmax(np.float32(factor) * logits)
        assert values == pytest.approx(-scaled[np.arange(7), targets], abs=1e-4)


def test_the_likelihood_is_that_of_the_decoder():
    scores = Scorer(DECODER).score(BLOCKS, HOOK)
    assert np.array_equal(scores.nll, DECODER.nll(BLOCKS.tokens, HOOK))


def test_the_reference_compared_with_itself():
    scores = Scorer(DECODER).score(BLOCKS, Fp16Activations())
    comparison = compare_scores(scores, scores, (scores, scores))
    for measure in ("loss", "kl", "top1", "tempered"):
        assert comparison.estimate(measure).value == pytest.approx(0, abs=1e-6)


def test_scores_are_kept(tmp_path: Path):
    first = Scorer(DECODER, tmp_path).score(BLOCKS, HOOK)
    assert len(list(tmp_path.iterdir())) == 3
    again = Scorer(DECODER, tmp_path).score(BLOCKS, HOOK)
    for name in ("nll", "kl", "agreement", "tempered"):
        assert np.array_equal(getattr(first, name), getattr(again, name))


def test_a_model_without_logits_has_its_likelihood_alone():
    class Opaque(Decoder):
        def nll(self, blocks, hook=None):  # type: ignore[no-untyped-def]
            return np.full((1, blocks.shape[1] - 1), 2.0)

    scores = Scorer(Opaque(DECODER.weights, None, "opaque")).score(BLOCKS, HOOK)
    assert (scores.nll == 2.0).all()
    assert np.isnan(compare_scores(scores, scores, (scores, scores)).kl.value)


def test_a_fitted_temperature_undoes_a_scaling_of_the_logits():
    """The tempered loss of a model whose logits are scaled is zero; its loss is not."""
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (2000, 50)).astype(np.float32)
    uniform = rng.random((2000, 1))
    targets = (np.exp(log_softmax(logits)).cumsum(axis=1) > uniform).argmax(axis=1).astype(np.int32)

    def scores(factor: float) -> TokenScores:
        rows = score_logits(np.float32(factor) * logits, logits.copy(), targets)
        return TokenScores(*(rows[i][None] for i in range(3)), rows[3:].mean(axis=1)[None])  # type: ignore[arg-type]

    sharp, true = scores(1.15), scores(1.0)
    assert sharp.inverse_temperature() == pytest.approx(1 / 1.15, abs=0.03)
    comparison = compare_scores(sharp, true, (sharp, true))
    assert comparison.loss.loss > 0.005
    assert comparison.tempered.value == pytest.approx(0, abs=1e-4)
    assert comparison.temperature == pytest.approx(1.15, abs=0.04)

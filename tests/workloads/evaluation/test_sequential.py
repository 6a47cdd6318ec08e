from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import (
    AndaActivations,
    Decoder,
    Fp16Activations,
    Precision,
    TextBlocks,
    sequential_test,
    synthetic_decoder,
)
from anda_codesign.workloads.evaluation.sequential import critical_value, spread_order

SYNTHETIC = synthetic_decoder()
HOOK = AndaActivations(Precision.uniform(7))


class Measured(Decoder):
    """A decoder whose blocks lose a known amount with a known spread; a block's only content is its number."""

    def __init__(self, mean: float, spread: float) -> None:
        super().__init__(SYNTHETIC.weights, None, SYNTHETIC.sha256)
        self.mean, self.spread = mean, spread
        self.evaluated: list[int] = []

    def nll(self, blocks, hook=None):  # type: ignore[no-untyped-def]
        number = int(blocks[0, 0])
        if isinstance(hook, Fp16Activations):
            return np.full((1, blocks.shape[1] - 1), 3.0)
        self.evaluated.append(number)
        difference = np.random.default_rng(number).normal(self.mean, self.spread)
        return np.full((1, blocks.shape[1] - 1), 3.0 + difference)


def numbered(count: int) -> TextBlocks:
    return TextBlocks(np.arange(count, dtype=np.int32)[:, None] * np.ones((1, 4), np.int32))


def test_easy_decisions_take_few_blocks():
    for mean, decision, blocks in [
        (0.5, "beyond", 8),
        (-0.5, "within", 8),
        (0.022, "beyond", 32),
        (0.001, "within", 32),
        (0.01, "undecided", 64),
    ]:
        verdict = sequential_test(Measured(mean, 0.014), numbered(64), HOOK, tolerance=0.01)
        assert (verdict.decision, verdict.blocks) == (decision, blocks)
        assert verdict.tolerance == 0.01
        assert verdict.loss.loss == pytest.approx(np.expm1(mean), abs=3 * verdict.loss.standard_error)
        assert (abs(verdict.margin) >= critical_value(blocks, looks=3)) == (decision != "undecided")
        assert (verdict.margin > 0) == (verdict.loss.loss < 0.01)


def test_each_block_is_evaluated_once():
    decoder = Measured(0.01, 0.014)
    sequential_test(decoder, numbered(64), HOOK, tolerance=0.01)
    assert sorted(decoder.evaluated) == list(range(64))


def test_all_blocks_are_used_before_giving_up():
    verdict = sequential_test(Measured(0.01, 0.014), numbered(20), HOOK, tolerance=0.01)
    assert (verdict.decision, verdict.blocks) == ("undecided", 20)


def test_wrong_decisions_are_rare():
    """A loss one standard error (of 64 blocks) from the tolerance is hardly ever put on the wrong side."""
    decisions: list[str] = []
    for seed in range(200):
        blocks = TextBlocks(numbered(64).tokens + 1000 * seed)
        verdict = sequential_test(Measured(0.01 + 0.014 / 8, 0.014), blocks, HOOK, tolerance=0.01)
        decisions.append(verdict.decision)
    assert decisions.count("within") <= 6
    assert decisions.count("undecided") > 150


def test_equal_values_are_within_any_tolerance():
    verdict = sequential_test(SYNTHETIC, numbered(8), Fp16Activations(), tolerance=0.0)
    assert (verdict.decision, verdict.loss.loss, verdict.margin) == ("within", 0.0, float("inf"))


def test_progress_and_cache(tmp_path: Path):
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    first = sequential_test(SYNTHETIC, numbered(10), HOOK, 0.01, stages=(4,), cache_dir=tmp_path, progress=progress)
    assert seen[0] == (4, 10)
    assert len(list(tmp_path.iterdir())) == 2 * first.blocks
    assert sequential_test(SYNTHETIC, numbered(10), HOOK, 0.01, stages=(4,), cache_dir=tmp_path) == first


def test_one_block():
    with pytest.raises(InputError, match=r"^blocks: 1 gives no standard error; use 2 or more$"):
        sequential_test(SYNTHETIC, numbered(1), HOOK, tolerance=0.01)


def test_every_beginning_is_spread():
    for count in [1, 2, 7, 8, 64, 100]:
        order = spread_order(count)
        assert sorted(order) == list(range(count))
        for length in range(2, count + 1):
            gaps = np.diff([-1, *sorted(order[:length]), count])
            assert gaps.max() <= 4 * count / length

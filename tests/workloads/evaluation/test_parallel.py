import threading
from collections.abc import Iterator

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import AndaActivations, Fp16Activations, Precision, TextBlocks, evaluate, synthetic_decoder
from anda_codesign.workloads.evaluation import parallel
from anda_codesign.workloads.evaluation.scores import Scorer
from threadpoolctl import ThreadpoolController

BLOCKS = TextBlocks(np.random.default_rng(3).integers(0, 256, (5, 33)).astype(np.int32))
HOOK = AndaActivations(Precision(5, 5, 5, 5))


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads of BLAS, whatever the environment allows."""
    monkeypatch.setattr(parallel, "blas_threads", lambda _: 2)
    yield


def test_values_are_those_of_one_block_after_another(two_threads: None):
    decoder, seen = synthetic_decoder(), list[tuple[int, int]]()
    found = evaluate(decoder, BLOCKS, HOOK, progress=lambda done, all_blocks: seen.append((done, all_blocks)))
    np.testing.assert_array_equal(found, decoder.nll(BLOCKS.tokens, HOOK))
    assert seen == [(done, 5) for done in range(1, 6)]
    scores = Scorer(decoder).score(BLOCKS, HOOK)
    np.testing.assert_array_equal(scores.nll, found)
    one_by_one = [Scorer(decoder).score(TextBlocks(tokens[None]), HOOK) for tokens in BLOCKS.tokens]
    np.testing.assert_array_equal(scores.kl, np.concatenate([each.kl for each in one_by_one]))


def test_two_items_are_under_way_at_once_with_one_blas_thread_each(two_threads: None):
    meeting = threading.Barrier(2, timeout=30)

    def work(item: int) -> list[int]:
        meeting.wait()  # fails unless another item is under way
        return [library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas"]

    assert all(set(threads) <= {1} for threads in parallel.side_by_side(work, range(4)))


def test_an_error_ends_the_work(two_threads: None):
    class Fails(Fp16Activations):
        def __call__(self, module: str, layer: int, x: np.ndarray) -> np.ndarray:  # pyright: ignore
            raise InputError("hook: fails")

    with pytest.raises(InputError, match="hook: fails"):
        evaluate(synthetic_decoder(), BLOCKS, Fails())


def test_a_limit_of_one_thread_is_kept():
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        names = list(parallel.side_by_side(lambda _: threading.current_thread().name, range(3)))
    assert names == [threading.current_thread().name] * 3

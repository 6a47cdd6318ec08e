import errno
import math
import os
import re
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
    evaluate,
    paired_loss,
    synthetic_decoder,
)
from anda_codesign.workloads.inference.fake_quantize import fake_quantize_numpy
from anda_codesign.workloads.inference.operators import to_fp16

DECODER = synthetic_decoder()
BLOCKS = TextBlocks(np.random.default_rng(2).integers(0, 256, (3, 24)).astype(np.int32))


def test_paired_loss_by_hand():
    reference = np.array([[1.0, 3.0], [2.0, 2.0]])
    nll = reference + np.array([[0.1, 0.3], [-0.1, 0.1]])
    result = paired_loss(nll, reference)
    assert result.loss == pytest.approx(math.exp(0.1) - 1)
    # block means 0.2 and 0.0: standard deviation sqrt(0.02), over sqrt(2) blocks 0.1
    assert result.standard_error == pytest.approx(0.1 * math.exp(0.1))
    assert result.perplexity == pytest.approx(math.exp(2.1))
    assert result.reference_perplexity == pytest.approx(math.exp(2.0))
    assert result.tokens == 4


def test_loss_is_signed():
    reference = np.full((2, 3), 2.0)
    assert paired_loss(reference - 0.1, reference).loss == pytest.approx(math.exp(-0.1) - 1)
    assert paired_loss(reference, reference).loss == 0


def test_one_block_has_no_standard_error():
    assert math.isnan(paired_loss(np.ones((1, 5)), np.ones((1, 5))).standard_error)


def test_loss_of_different_blocks():
    message = "nll: has shape (2, 3), the reference (2, 4); evaluate the same blocks"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        paired_loss(np.ones((2, 3)), np.ones((2, 4)))


def test_standard_error_is_the_spread_of_repeated_experiments(rng: np.random.Generator):
    """Means of 50 blocks scatter as the standard error of one experiment says."""
    differences = rng.normal(0.02, 0.1, (2000, 50, 1))
    losses = [paired_loss(difference, np.zeros((50, 1))) for difference in differences]
    spread = np.std([loss.loss for loss in losses])
    assert np.mean([loss.standard_error for loss in losses]) == pytest.approx(spread, rel=0.05)


def test_text_form():
    result = paired_loss(np.array([[1.1], [1.1]]), np.array([[1.0], [1.0]]))
    assert str(result) == "+10.52 % ± 0.00 (95 % t interval, 2 blocks; perplexity 3.004)"


def test_evaluate_equals_nll():
    np.testing.assert_array_equal(
        evaluate(DECODER, BLOCKS, Fp16Activations()), DECODER.nll(BLOCKS.tokens, to_fp16_hook)
    )


def to_fp16_hook(module: str, layer: int, x: np.ndarray) -> np.ndarray:
    return to_fp16(x)


def test_anda_hook_uses_the_bits_of_its_module():
    hook = AndaActivations(Precision(3, 5, 7, 9), group_size=32)
    x = np.random.default_rng(3).standard_normal((4, 128), np.float32)
    for module, bits in {"qkv": 3, "o": 5, "u": 7, "d": 9}.items():
        assert hook.format(module).mantissa_bits == bits
        assert hook.format(module).group_size == 32
        np.testing.assert_array_equal(hook(module, 0, x), fake_quantize_numpy(x, hook.format(module)))


def test_overflow_names_the_place():
    x = np.full((1, 64), 1e6, np.float32)
    message = 'activations of d in layer 11: x: element (0, 0) is inf; remove it or encode with nonfinite="saturate"'
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        AndaActivations(Precision.uniform(7))("d", 11, x)


def test_fewer_bits_move_the_nll_further():
    reference = evaluate(DECODER, BLOCKS, Fp16Activations())
    distances = [
        np.abs(evaluate(DECODER, BLOCKS, AndaActivations(Precision.uniform(bits))) - reference).mean()
        for bits in (4, 6, 8, 11)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0


class CountingDecoder(Decoder):
    """Counts the blocks that are really computed, and can fail on one."""

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__(DECODER.weights, None, DECODER.sha256)
        self.computed = 0
        self.fail_at = fail_at

    def nll(self, blocks, hook=None):  # type: ignore[no-untyped-def]
        if self.computed == self.fail_at:
            raise KeyboardInterrupt
        self.computed += 1
        return super().nll(blocks, hook)


def test_second_evaluation_computes_nothing(tmp_path: Path):
    first, second = CountingDecoder(), CountingDecoder()
    values = evaluate(first, BLOCKS, Fp16Activations(), tmp_path)
    np.testing.assert_array_equal(evaluate(second, BLOCKS, Fp16Activations(), tmp_path), values)
    assert (first.computed, second.computed) == (3, 0)


def test_an_interrupted_evaluation_goes_on_where_it_stopped(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(CountingDecoder(fail_at=2), BLOCKS, Fp16Activations(), tmp_path)
    decoder = CountingDecoder()
    values = evaluate(decoder, BLOCKS, Fp16Activations(), tmp_path)
    assert decoder.computed == 1
    np.testing.assert_array_equal(values, evaluate(DECODER, BLOCKS, Fp16Activations()))


def test_a_damaged_entry_is_computed_again(tmp_path: Path):
    values = evaluate(DECODER, BLOCKS, Fp16Activations(), tmp_path)
    whole = sorted(tmp_path.iterdir())[0].read_bytes()
    flipped = [
        bytes(b ^ (1 << bit % 8) * (i == bit // 8) for i, b in enumerate(whole)) for bit in range(0, 8 * len(whole), 97)
    ]
    for damage in [b"", b"\x93NUMPY", whole[:-1], *flipped]:
        sorted(tmp_path.iterdir())[0].write_bytes(damage)
        decoder = CountingDecoder()
        np.testing.assert_array_equal(evaluate(decoder, BLOCKS, Fp16Activations(), tmp_path), values)
        assert decoder.computed == 1


def test_entries_differ_by_model_text_and_format(tmp_path: Path):
    hooks = [
        Fp16Activations(),
        AndaActivations(Precision(7, 7, 7, 7)),
        AndaActivations(Precision(7, 7, 7, 6)),
        AndaActivations(Precision(7, 7, 7, 7), reconstruct="midpoint"),
        AndaActivations(Precision(7, 7, 7, 7), group_size=32),
    ]
    for hook in hooks:
        evaluate(DECODER, BLOCKS, hook, tmp_path)
    evaluate(synthetic_decoder(seed=1), BLOCKS, hooks[0], tmp_path)
    evaluate(DECODER, TextBlocks(BLOCKS.tokens[:, :23]), hooks[0], tmp_path)
    assert len(list(tmp_path.iterdir())) == 3 * (len(hooks) + 2)


def test_the_cache_needs_a_hook_that_is_a_value(tmp_path: Path):
    evaluate(DECODER, BLOCKS, to_fp16_hook)
    with pytest.raises(InputError, match=r"^hook: .*to_fp16_hook.* frozen dataclass"):
        evaluate(DECODER, BLOCKS, to_fp16_hook, tmp_path)


def test_progress(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    evaluate(DECODER, BLOCKS, Fp16Activations(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_full_disk_keeps_the_finished_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save, saved = Path.write_bytes, 0

    def save_two(path: Path, content: bytes) -> int:
        nonlocal saved
        if saved == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved += 1
        return save(path, content)

    monkeypatch.setattr(Path, "write_bytes", save_two)
    message = f"cache: {tmp_path} cannot be written (No space left on device); free space and run again, "
    with pytest.raises(InputError, match=f"^{re.escape(message)}finished blocks are kept$"):
        evaluate(DECODER, BLOCKS, Fp16Activations(), tmp_path)
    assert [path.name[:4] for path in tmp_path.iterdir()] == ["nll-", "nll-"]
    monkeypatch.setattr(Path, "write_bytes", save)
    np.testing.assert_array_equal(
        evaluate(DECODER, BLOCKS, Fp16Activations(), tmp_path), DECODER.nll(BLOCKS.tokens, Fp16Activations())
    )


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    message = (
        rf"^cache: {re.escape(str(tmp_path / 'file'))} cannot be written \(File exists\); free space and run again, "
    )
    with pytest.raises(InputError, match=message):
        evaluate(DECODER, BLOCKS, Fp16Activations(), tmp_path / "file")

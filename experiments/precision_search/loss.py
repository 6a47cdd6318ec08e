"""Measured loss of a precision: a sequential test against FP16 activations, on one text or two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...workloads import Decoder, TextBlocks, TorchDecoder, Verdict, sequential_test
from ...workloads.inference.decoder import Hook


@dataclass(frozen=True)
class Texts:
    """Blocks of different articles: the search reads the first, and its result is tested on the second."""

    calibration: TextBlocks
    heldout: TextBlocks

    @classmethod
    def load(cls, decoder: Decoder, text: str = "wiki", tokens: int = 512, blocks: int = 64) -> Texts:
        """Load both splits of a text, at most this many blocks each, of this many tokens each."""
        return cls(*(decoder.blocks(text, split, tokens, blocks) for split in ("calibration", "heldout")))


@dataclass(frozen=True)
class MeasuredLoss:
    """Loss of activation hooks on a model.

    Parameters
    ----------
    decoder
        The model.
    texts
        Blocks on which the loss is measured.
    tolerance
        Loss against which the sequential test decides.
    second
        Another text. The larger loss of the two counts.
    cache_dir
        Folder that keeps the evaluations, so that an interrupted search resumes.
    """

    decoder: Decoder | TorchDecoder
    texts: Texts
    tolerance: float
    second: Texts | None = None
    cache_dir: Path | None = None

    def calibration(self, hook: Hook) -> Verdict:
        """Verdict on the calibration articles."""
        return self._larger(hook, self.texts.calibration, self.second and self.second.calibration)

    def heldout(self, hook: Hook) -> Verdict:
        """Verdict on the held-out articles."""
        return self._larger(hook, self.texts.heldout, self.second and self.second.heldout)

    def test(self, hook: Hook, blocks: TextBlocks) -> Verdict:
        """Verdict on these blocks alone."""
        return sequential_test(self.decoder, blocks, hook, self.tolerance, cache_dir=self.cache_dir)

    def _larger(self, hook: Hook, first: TextBlocks, second: TextBlocks | None) -> Verdict:
        """Verdict with the larger loss; the second text is read only if the first is within the tolerance."""
        verdict = self.test(hook, first)
        if second is None or verdict.loss.loss > self.tolerance:
            return verdict
        return max(verdict, self.test(hook, second), key=lambda own: own.loss.loss)


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON."""
    return {
        "loss": verdict.loss.loss,
        "loss_standard_error": verdict.loss.standard_error,
        "decision": verdict.decision,
        "blocks": verdict.blocks,
    }

"""TokenScores of a number format on text, next to the reference: likelihood, KL divergence, top-1 agreement, temperature."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..inference.decoder import Decoder, Hook
from ..inference.hooks import Fp16Activations
from ..inference.language_model import ScoredModel
from ..inference.torch_decoder import TorchDecoder
from ..models.parameters import FloatArray
from ..text.blocks import TextBlocks
from .perplexity import Evaluator, PairedLoss, block_key, map_blocks, paired_loss, read_block, write_block
from .statistics import Estimate, relative_increases

INVERSE_TEMPERATURES = (0.8, 0.9, 1.0, 1.1, 1.2)
"""Factors of the logits at which the likelihood is measured; between them a polynomial interpolates."""
KEPT_BYTES = 2**28
"""Most bytes of the reference's residual streams that stay in memory."""
ROWS = 16
"""Tokens whose logits are scored at once: they fit a core's cache."""


@dataclass(frozen=True, eq=False)
class TokenScores:
    """TokenScores of every predicted token under a number format; all but `nll` are NaN for a model without logits."""

    nll: NDArray[np.float64]
    """Negative log-likelihood in nats, ``[blocks, tokens - 1]``."""
    kl: NDArray[np.float64]
    """KL divergence of the next token's distribution from the reference's, in nats, ``[blocks, tokens - 1]``."""
    agreement: NDArray[np.float64]
    """1 where the most likely next token is the reference's, otherwise 0, ``[blocks, tokens - 1]``."""
    tempered: NDArray[np.float64]
    """Mean NLL of each block at `INVERSE_TEMPERATURES`, ``[blocks, 5]``."""

    def __getitem__(self, blocks: slice | NDArray[np.intp]) -> TokenScores:
        """TokenScores of some blocks."""
        return TokenScores(self.nll[blocks], self.kl[blocks], self.agreement[blocks], self.tempered[blocks])

    @staticmethod
    def join(parts: Sequence[TokenScores]) -> TokenScores:
        """TokenScores of the blocks of all parts."""
        names = ("nll", "kl", "agreement", "tempered")
        return TokenScores(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def of_nll(cls, nll: NDArray[np.float64]) -> TokenScores:
        """TokenScores of a model of which the likelihood alone is known."""
        unknown = np.full_like(nll, np.nan)
        return cls(nll, unknown, unknown, np.full((len(nll), len(INVERSE_TEMPERATURES)), np.nan))

    def inverse_temperature(self) -> float:
        """Factor of the logits with the least mean NLL, within `INVERSE_TEMPERATURES`."""
        grid = np.linspace(INVERSE_TEMPERATURES[0], INVERSE_TEMPERATURES[-1], 401)
        return float(grid[np.argmin(_interpolation(grid) @ self.tempered.mean(axis=0))])

    def at(self, inverse_temperature: float) -> NDArray[np.float64]:
        """Mean NLL of each block at this factor of the logits, ``[blocks]``."""
        return self.tempered @ _interpolation(np.array([inverse_temperature]))[0]


@dataclass(frozen=True)
class ScoreComparison:
    """A number format compared with FP16 activations on the same tokens, by four measures."""

    loss: PairedLoss
    kl: Estimate
    """Mean KL divergence from the reference, in nats; never negative."""
    top1: Estimate
    """Share of tokens whose most likely successor differs from the reference's."""
    tempered: Estimate
    """Loss when both models have their own fitted temperature, as a fraction; NaN for a single block."""
    temperature: float
    """Fitted temperature of the format."""
    blocks: Mapping[str, NDArray[np.float64]] = field(compare=False, repr=False)
    """Value of each block by each measure ``[blocks]``; the mean is the measure."""

    def estimate(self, measure: str) -> Estimate:
        """One of the measures `MEASURES`."""
        return self.loss.estimate if measure == "loss" else getattr(self, measure)


MEASURES = ("loss", "kl", "top1", "tempered")
"""Measures on which a tolerance can be set; the smaller the better."""


def compare_scores(
    own: TokenScores, reference: TokenScores, fitted: tuple[TokenScores, TokenScores] | None = None
) -> ScoreComparison:
    """Compare the scores of the same blocks.

    Parameters
    ----------
    own, reference
        TokenScores of the format and of FP16 activations.
    fitted
        The same two on calibration text, to which a temperature is fitted for each. None fits it to half of the blocks
        and applies it to the other half, both ways.
    """
    unknown = np.full(len(own.nll), np.nan)
    blocks = {
        "loss": relative_increases((own.nll - reference.nll).mean(axis=1)),
        "kl": own.kl.mean(axis=1),
        "top1": 1 - own.agreement.mean(axis=1),
        "tempered": unknown,
    }
    temperature = float("nan")
    if np.isfinite(own.tempered).all() and np.isfinite(reference.tempered).all():
        temperature, blocks["tempered"] = _tempered(own, reference, fitted)
    kl, top1, tempered = (Estimate.mean(blocks[measure]) for measure in MEASURES[1:])
    return ScoreComparison(paired_loss(own.nll, reference.nll), kl, top1, tempered, temperature, blocks)


def _tempered(
    own: TokenScores, reference: TokenScores, fitted: tuple[TokenScores, TokenScores] | None
) -> tuple[float, NDArray[np.float64]]:
    """Fitted temperature of the format, and the relative increase of the perplexity at fitted temperatures by blocks."""
    count = len(own.nll)
    if fitted is not None:
        factor, expected = (scores.inverse_temperature() for scores in fitted)
        return 1 / factor, relative_increases(own.at(factor) - reference.at(expected))
    if count < 2:
        return float("nan"), np.full(count, np.nan)
    differences = np.empty(count)
    factors: list[float] = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        others = np.delete(np.arange(count), np.arange(count)[half])
        factor, expected = own[others].inverse_temperature(), reference[others].inverse_temperature()
        differences[half] = own[half].at(factor) - reference[half].at(expected)
        factors.append(factor)
    return 1 / float(np.mean(factors)), relative_increases(differences)


Workers = Callable[[Mapping[Path, tuple[NDArray[np.int32], Hook]]], Iterable[tuple[Path, NDArray[np.float64]]]]
"""Function that computes `Scorer.values` of tokens and hooks elsewhere; it gives them with their keys as they finish."""


@dataclass
class Scorer:
    """TokenScores number formats on one model; the residual streams of the reference stay in memory for later formats.

    Parameters
    ----------
    decoder
        The model. One that computes likelihoods in another way than from logits gets NaN for all scores but `TokenScores.nll`.
    cache_dir
        Folder that keeps every finished block, see `evaluate`; None keeps nothing.
    original
        The model with FP16 activations that is the reference, where `decoder` has other weights; None for `decoder` itself.
    workers
        Other processes or machines, which compute the blocks that `cache_dir` lacks; None computes them here.
    """

    decoder: Evaluator
    cache_dir: Path | None = None
    original: Decoder | None = None
    workers: Workers | None = None
    _streams: OrderedDict[bytes, FloatArray] = field(default_factory=OrderedDict[bytes, FloatArray], init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def score(self, blocks: TextBlocks, hook: Hook, progress: Callable[[int, int], None] | None = None) -> TokenScores:
        """Score a number format on some blocks; `progress` is called with the finished and with all blocks."""
        self.prepare([(blocks, hook)])
        parts: list[TokenScores] = []
        scored: Callable[[NDArray[np.int32]], TokenScores] = partial(self._cached, hook=hook)
        for scores in map_blocks(self.decoder, scored, blocks.tokens):
            parts.append(scores)
            if progress:
                progress(len(parts), len(blocks.tokens))
        return TokenScores.join(parts)

    def prepare(self, points: Iterable[tuple[TextBlocks, Hook]]) -> None:
        """Let the workers, if there are any, compute the blocks of several formats at once; `score` finds them then."""
        if self.workers is None:
            return
        asked = {self._path(tokens, hook): (tokens, hook) for blocks, hook in points for tokens in blocks.tokens}
        missing = {
            path: point for path, point in asked.items() if path and read_block(path, _count(len(point[0]))) is None
        }
        if missing:
            for path, values in self.workers(missing):
                write_block(path, values)

    def _path(self, tokens: NDArray[np.int32], hook: Hook) -> Path | None:
        beside = "" if self.original is None else f"-{self.original.sha256[:32]}"
        return self.cache_dir and self.cache_dir / f"scores-{block_key(self.decoder, tokens, hook)}{beside}"

    def _cached(self, tokens: NDArray[np.int32], hook: Hook) -> TokenScores:
        path, length = self._path(tokens, hook), len(tokens) - 1
        values = path and read_block(path, _count(len(tokens)))
        if values is None:
            values = self.values(tokens, hook)
            if path:
                write_block(path, values)
        nll, kl, agreement = values[: 3 * length].reshape(3, 1, length)
        return TokenScores(nll, kl, agreement, values[None, 3 * length :])

    def values(self, tokens: NDArray[np.int32], hook: Hook) -> NDArray[np.float64]:
        """TokenScores of a block as one array: NLL, KL divergence and agreement of each token, then the tempered NLLs."""
        decoder = self.decoder
        own_nll = isinstance(decoder, Decoder | TorchDecoder) and type(decoder).nll not in (
            Decoder.nll,
            TorchDecoder.nll,
        )
        if own_nll or not isinstance(decoder, ScoredModel):
            nll = decoder.nll(tokens[None], hook)[0]
            return np.concatenate([nll, np.full(2 * len(nll) + len(INVERSE_TEMPERATURES), np.nan)])
        reference = self._reference(self.original or decoder, tokens)
        same = self.original is None and hook == Fp16Activations()
        own = reference if same else decoder.hidden(tokens, hook)
        tiles = zip(decoder.logit_tiles(own[:-1]), decoder.logit_tiles(reference[:-1]), strict=True)
        found: list[NDArray[np.float64]] = []
        start = 1
        for logits, expected in tiles:
            for row in range(0, len(logits), ROWS):
                part = slice(row, row + ROWS)
                targets = tokens[start + row : start + row + len(logits[part])]
                found.append(score_logits(logits[part], expected[part], targets))
            start += len(logits)
        rows = np.concatenate(found, axis=1)
        return np.concatenate([rows[:3].ravel(), rows[3:].mean(axis=1)])

    def _reference(self, decoder: ScoredModel, tokens: NDArray[np.int32]) -> FloatArray:
        """Residual stream after the last layer with FP16 activations."""
        key = tokens.tobytes()
        with self._lock:
            found = self._streams.get(key)
        if found is None:
            found = decoder.hidden(tokens, Fp16Activations())
        with self._lock:
            self._streams[key] = found
            self._streams.move_to_end(key)
            while len(self._streams) > 1 and sum(stream.nbytes for stream in self._streams.values()) > KEPT_BYTES:
                self._streams.popitem(last=False)
        return found


def _count(tokens: int) -> int:
    """Number of `Scorer.values` of a block."""
    return 3 * (tokens - 1) + len(INVERSE_TEMPERATURES)


def score_logits(logits: FloatArray, reference: FloatArray, targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """TokenScores of each row of logits ``[tokens, vocabulary]``.

    Returns
    -------
    NDArray[np.float64]
        ``[8, tokens]``: NLL, KL divergence, agreement, and NLL at `INVERSE_TEMPERATURES`.
    """
    own = logits - logits.max(axis=1, keepdims=True)
    expected = reference - reference.max(axis=1, keepdims=True)
    target = np.take_along_axis(own, targets[:, None].astype(np.intp), axis=1)[:, 0].astype(np.float64)
    tenth = np.exp(own * np.float32(0.1))  # its powers are the exponentials at all temperatures
    square = tenth * tenth
    power = square * square
    power *= power
    sums = [power.sum(axis=1, dtype=np.float64)]
    for _ in INVERSE_TEMPERATURES[1:]:
        power *= tenth
        sums.append(power.sum(axis=1, dtype=np.float64))
    logs = np.log(np.array(sums))
    nll = logs - np.array(INVERSE_TEMPERATURES)[:, None] * target
    weights = np.exp(expected)
    total = weights.sum(axis=1, dtype=np.float64)
    agreement = own.argmax(axis=1) == expected.argmax(axis=1)
    np.subtract(expected, own, out=expected)
    gap = np.einsum("tv,tv->t", weights, expected, dtype=np.float64) / total
    exact = np.log(np.exp(own, out=own).sum(axis=1), dtype=np.float64)  # as in operators.token_nll, bit for bit
    divergence = np.maximum(gap - np.log(total) + exact, 0)  # the negative part is rounding
    return np.concatenate([[exact - target, divergence, agreement], nll])


def _interpolation(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lagrange weights ``[factors, 5]`` of the polynomial through `INVERSE_TEMPERATURES`."""
    nodes = np.array(INVERSE_TEMPERATURES)
    weights = np.ones((len(factors), len(nodes)))
    for index, node in enumerate(nodes):
        for other in np.delete(nodes, index):
            weights[:, index] *= (factors - other) / (node - other)
    return weights

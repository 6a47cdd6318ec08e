"""Perplexity cost of a number format: paired comparison, and evaluations that an interruption does not lose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ... import formats
from ...formats import InputError
from ...formats.plugins import source_sha256
from ..files import read_checked, write_checked
from ..inference.decoder import Hook
from ..text.blocks import TextBlocks
from .statistics import Estimate

Value = TypeVar("Value")


@dataclass(frozen=True)
class PairedLoss:
    """Perplexity loss against a reference on the same tokens; negative if the reference is worse."""

    loss: float
    """Relative increase of the perplexity: exp(mean difference of the negative log-likelihoods) - 1."""
    standard_error: float
    """Standard error of `loss`, from the spread over the blocks; NaN for a single block."""
    perplexity: float
    reference_perplexity: float
    tokens: int
    """Number of predicted tokens."""
    blocks: int = 0
    """Number of blocks; 0 if it is not known, and then there is no interval."""

    @property
    def estimate(self) -> Estimate:
        """The loss as a mean over blocks."""
        return Estimate(self.loss, self.standard_error, self.blocks)

    def __str__(self) -> str:
        return (
            f"{100 * self.loss:+.2f} % ± {100 * self.estimate.half_width():.2f} "
            f"(95 % t interval, {self.blocks} blocks; perplexity {self.perplexity:.3f})"
        )


def paired_loss(nll: NDArray[np.float64], reference_nll: NDArray[np.float64]) -> PairedLoss:
    """Compare the negative log-likelihoods of the same blocks, both float64 ``[blocks, tokens - 1]``.

    The standard error takes blocks as independent of each other, but not the tokens inside a block.

    Raises
    ------
    InputError
        The shapes differ.
    """
    if nll.shape != reference_nll.shape:
        raise InputError(f"nll: has shape {nll.shape}, the reference {reference_nll.shape}; evaluate the same blocks")
    differences = (nll - reference_nll).mean(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):  # a format may fail with infinite values
        ratio = float(np.exp(differences.mean()))
        spread = float(differences.std(ddof=1)) if len(differences) > 1 else float("nan")
    return PairedLoss(
        loss=ratio - 1,
        standard_error=ratio * spread / len(differences) ** 0.5,
        perplexity=float(np.exp(nll.mean())),
        reference_perplexity=float(np.exp(reference_nll.mean())),
        tokens=nll.size,
        blocks=len(nll),
    )


class Evaluator(Protocol):
    """A model that `evaluate` can run."""

    sha256: str

    def nll(self, blocks: NDArray[np.int32], hook: Hook, /) -> NDArray[np.float64]:
        """Negative log-likelihoods in nats; see `Decoder.nll`."""
        ...


def evaluate(
    decoder: Evaluator,
    blocks: TextBlocks,
    hook: Hook,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Negative log-likelihood (NLL) of every token but the first of each block, in nats.

    Parameters
    ----------
    decoder
        The model: a `Decoder`, or a `PrefixCache` of one.
    blocks
        The text.
    hook
        The number format of the activations.
    cache_dir
        Folder that keeps every finished block under a hash of model, tokens, hook and program; a later call takes the
        block from there. The hook must be a dataclass then: its class and fields identify the values. None keeps nothing.
    progress
        Called with the number of finished blocks and the number of all blocks.

    Returns
    -------
    NDArray[np.float64]
        ``[blocks, tokens - 1]``.

    Raises
    ------
    InputError
        The folder cannot be written, or the hook is not a dataclass of plain values.
    """

    def path_of(tokens: NDArray[np.int32]) -> Path | None:
        return cache_dir and cache_dir / f"nll-{block_key(decoder, tokens, hook)}"

    def block_nll(tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        path = path_of(tokens)
        values = path and read_block(path, len(tokens) - 1)
        if values is None:
            values = decoder.nll(tokens[None], hook)[0]
            if path:
                write_block(path, values)
        return values

    def batch_nll(batch: NDArray[np.int32]) -> list[NDArray[np.float64]]:
        """A batch in one pass if none of its blocks is finished, otherwise block by block."""
        paths = [path_of(tokens) for tokens in batch]
        if any(path is not None and path.exists() for path in paths):
            return [block_nll(tokens) for tokens in batch]
        values = decoder.nll(batch, hook)
        for path, own in zip(paths, values, strict=True):
            if path:
                write_block(path, own)
        return list(values)

    nll: list[NDArray[np.float64]] = []
    size = getattr(decoder, "batch_tokens", 0) // max(blocks.tokens.shape[1], 1)
    if size > 1:
        for start in range(0, len(blocks.tokens), size):
            nll += batch_nll(blocks.tokens[start : start + size])
            if progress:
                progress(len(nll), len(blocks.tokens))
        return np.stack(nll)
    for values in map_blocks(decoder, block_nll, blocks.tokens):
        nll.append(values)
        if progress:
            progress(len(nll), len(blocks.tokens))
    return np.stack(nll)


def map_blocks(
    decoder: Evaluator, function: Callable[[NDArray[np.int32]], Value], tokens: NDArray[np.int32]
) -> Iterator[Value]:
    """The values of a function of each block, in order: side by side for a `Decoder`, which threads may share."""
    from ..inference.decoder import Decoder
    from .parallel import side_by_side

    shared = isinstance(decoder, Decoder) and len(tokens) > 1
    return side_by_side(function, tokens) if shared else map(function, tokens)


def block_key(decoder: Evaluator, tokens: NDArray[np.int32], hook: Hook) -> str:
    """Hash of everything that decides the values of a block: model, tokens, hook and program."""
    text = hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()
    parts = [decoder.sha256, text, _identity(hook), program_sha256()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _identity(value: Any) -> Any:
    """JSON form of a value that differs for unequal values: class, its source and fields of a dataclass, to any depth."""
    if is_dataclass(value):
        kind = type(value)
        own = {field.name: _identity(getattr(value, field.name)) for field in fields(value)}
        return [source_sha256(kind) or kind.__module__, kind.__qualname__, own]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return [_identity(item) for item in cast("tuple[Any, ...]", value)]
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, Integral):
        return int(value)  # a NumPy integer is the same value
    raise InputError(f"hook: {value!r} cannot identify cached values; make it a frozen dataclass of plain values")


@cache
def program_sha256() -> str:
    """Hexadecimal sha256 of all source files that can change an evaluation: those of this room and of the formats."""
    rooms = Path(__file__).parents[1], Path(formats.__file__).parent
    sources = (path for room in rooms for path in sorted(room.rglob("*.py")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def read_block(path: Path, length: int) -> NDArray[np.float64] | None:
    """Read the float64 values of a finished block; None if there is none or the file is damaged."""
    content = read_checked(path)
    return None if content is None or len(content) != 8 * length else np.frombuffer(content, "<f8")


def write_block(path: Path, values: NDArray[np.float64]) -> None:
    """Save under the final name in one step, so that a killed run leaves no incomplete file."""
    try:
        write_checked(path, values.astype("<f8").tobytes())
    except OSError as error:
        raise InputError(
            f"cache: {path.parent} cannot be written ({error.strerror or error}); free space and run again, "
            "finished blocks are kept"
        ) from None

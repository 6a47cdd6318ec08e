"""Rotary position embeddings: base and scaling to longer contexts, as in transformers' ``modeling_rope_utils``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def rope_frequencies(theta: float, head_dim: int) -> FloatArray:
    """Frequencies ``theta^(-2 i / head_dim)`` in radians per token: float32 ``[head_dim / 2]``."""
    return (1 / theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)).astype(np.float32)


class RopeScaling(ABC):
    """Change of the rotary frequencies that stretches the context."""

    @property
    def attention_factor(self) -> float:
        """Factor of cosines and sines."""
        return 1.0

    @abstractmethod
    def frequencies(self, theta: float, head_dim: int, tokens: int) -> FloatArray:
        """Frequencies of a sequence of `tokens` in radians per token: float32 ``[head_dim / 2]``."""


@dataclass(frozen=True, kw_only=True)
class LinearScaling(RopeScaling):
    """All frequencies divided by a factor."""

    factor: float

    def frequencies(self, theta: float, head_dim: int, tokens: int) -> FloatArray:
        """Frequencies over `factor`."""
        return rope_frequencies(theta, head_dim) / np.float32(self.factor)


@dataclass(frozen=True, kw_only=True)
class DynamicScaling(RopeScaling):
    """A base that grows with sequences longer than the original context (dynamic NTK)."""

    factor: float
    original_length: int
    """Length of the original context, in tokens."""

    def frequencies(self, theta: float, head_dim: int, tokens: int) -> FloatArray:
        """Frequencies of the base that belongs to the length of the sequence."""
        stretch = self.factor * max(tokens, self.original_length) / self.original_length - (self.factor - 1)
        return rope_frequencies(theta * stretch ** (head_dim / (head_dim - 2)), head_dim)


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling(RopeScaling):
    """LLaMA 3.1: slow frequencies are divided, fast ones stay, a ramp lies between."""

    factor: float
    """Length of the new context over that of the original one."""
    original_length: int
    """Length of the original context, in tokens."""
    low_frequency_factor: float
    """Frequencies with fewer turns than this in the original context are divided by `factor`."""
    high_frequency_factor: float
    """Frequencies with more turns than this stay unchanged."""

    def frequencies(self, theta: float, head_dim: int, tokens: int) -> FloatArray:
        """Frequencies, the slow ones divided."""
        frequencies = rope_frequencies(theta, head_dim)
        turns = self.original_length * frequencies / np.float32(2 * np.pi)
        span = self.high_frequency_factor - self.low_frequency_factor
        kept = np.clip((turns - self.low_frequency_factor) / span, 0, 1)
        return np.multiply(frequencies, kept + (1 - kept) / self.factor, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class YarnScaling(RopeScaling):
    """YaRN (arXiv 2309.00071): a ramp over the channels between divided and unchanged frequencies."""

    factor: float
    original_length: int
    """Length of the original context, in tokens."""
    beta_fast: float = 32.0
    """Turns in the original context from which a frequency stays unchanged."""
    beta_slow: float = 1.0
    """Turns in the original context up to which a frequency is divided by `factor`."""
    whole_channels: bool = True
    """True if the ends of the ramp are rounded to whole channels (``truncate``)."""
    magnitude: float | None = None
    """Factor of cosines and sines; None takes the paper's ``0.1 ln(factor) + 1``."""

    @property
    def attention_factor(self) -> float:
        """Factor of cosines and sines."""
        return yarn_magnitude(self.factor) if self.magnitude is None else self.magnitude

    def frequencies(self, theta: float, head_dim: int, tokens: int) -> FloatArray:
        """Frequencies, divided from the end of the ramp on."""
        low, high = (self._channel(turns, theta, head_dim) for turns in (self.beta_fast, self.beta_slow))
        if self.whole_channels:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_dim - 1)
        if low == high:
            high += 0.001
        ramp = np.clip((np.arange(head_dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
        frequencies = rope_frequencies(theta, head_dim)
        return (frequencies / np.float32(self.factor) * ramp + frequencies * (1 - ramp)).astype(np.float32)

    def _channel(self, turns: float, theta: float, head_dim: int) -> float:
        """Channel that makes this number of turns in the original context."""
        return head_dim * math.log(self.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))


def yarn_magnitude(factor: float, scale: float = 1.0) -> float:
    """YaRN's magnitude of attention, ``0.1 scale ln(factor) + 1``; 1 without stretching."""
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


@dataclass(frozen=True)
class DividedFrequencies(RopeScaling):
    """Each frequency divided by its own factor, as GGUF files of LLaMA 3.1 store the result of its rule."""

    divisors: tuple[float, ...]
    """A factor for each pair of channels."""

    def frequencies(self, theta: float, head_dim: int, tokens: int) -> FloatArray:
        """Frequencies over their factors."""
        return rope_frequencies(theta, head_dim) / np.array(self.divisors, np.float32)

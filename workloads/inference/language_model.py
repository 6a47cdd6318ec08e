"""Protocols of models that run: what evaluations, captures and searches need of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...formats import Int4Weights
from ..models.parameters import FloatArray
from ..models.shapes import ModelShape
from ..text.blocks import TextBlocks
from ..text.tokenizer import TextTokenizer
from .decoder import Hook


@runtime_checkable
class ScoredModel(Protocol):
    """A model with likelihoods and logits: `Decoder`, `TorchDecoder` or `TransformersModel`."""

    shape: ModelShape
    sha256: str

    def nll(self, blocks: NDArray[np.int32], hook: Hook, /) -> NDArray[np.float64]:
        """Negative log-likelihoods in nats; see `Decoder.nll`."""
        ...

    def hidden(self, tokens: NDArray[np.int32], hook: Hook | None = None, layers: int | None = None) -> FloatArray:
        """Vectors from which `logit_tiles` computes logits: float32 ``[tokens, hidden]``."""
        ...

    def logit_tiles(self, hidden: FloatArray) -> Iterator[FloatArray]:
        """Logits after the rows of `hidden`: float32 ``[tile, vocabulary]``, in order."""
        ...


class LanguageModel(ScoredModel, Protocol):
    """A model with its tokenizer and weights: `Decoder` or `TransformersModel`."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of the model."""
        ...

    def blocks(self, text: str = "wiki", split: str = "calibration", tokens: int = 512, blocks: int = 8) -> TextBlocks:
        """Load blocks of a text for this model."""
        ...

    def linear(self, layer: int, name: str) -> Int4Weights:
        """INT4 weights of a linear layer: q, k, v, o, gate, up or down."""
        ...

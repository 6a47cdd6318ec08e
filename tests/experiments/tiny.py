"""A tiny model with a folder of its own, and random text for it, so that commands that evaluate take a moment."""

from pathlib import Path

import numpy as np
import pytest
from anda_codesign.experiments.report import job
from anda_codesign.workloads import Decoder, TextBlocks
from checkpoints import LLAMA_CONFIG, llama_tensors, write

CONFIG = LLAMA_CONFIG | {"max_position_embeddings": 2048}


def tiny_model(folder: Path) -> Path:
    return write(folder, CONFIG, llama_tensors())


def random_text(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Random tokens as the text of any model, short blocks, and what is cached in the folder `cache`."""

    def blocks(_: Decoder, _text: str, _split: str, tokens: int, blocks: int) -> TextBlocks:
        drawn = np.random.default_rng(0).integers(0, 256, (blocks, min(tokens, 64)))
        return TextBlocks(drawn.astype(np.int32))

    monkeypatch.setattr(Decoder, "blocks", blocks)
    monkeypatch.setattr(job, "CIRCUIT_WIDTHS", (3,))
    monkeypatch.setenv("ANDA_CACHE", str(cache))

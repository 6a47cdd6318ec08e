"""Makes the helper modules of this folder importable; the real model."""

import sys
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.workloads import Decoder, load_decoder

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def smollm2() -> Decoder:
    """The real model; only for tests marked `model`."""
    return load_decoder()

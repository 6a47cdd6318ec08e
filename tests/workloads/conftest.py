import numpy as np
import pytest
from anda_codesign.workloads import Decoder, load_decoder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def smollm2() -> Decoder:
    """The real model; only for tests marked `model`."""
    return load_decoder()

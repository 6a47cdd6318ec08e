"""Fixtures of the formats' tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", params=["numpy", "numba"])
def each_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test with the plain and with the compiled code, whatever the size of its arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDA_KERNELS", request.param)
        yield request.param

"""The rule for missing tools: a test that lacks one is skipped on a desk, and fails in CI."""

import os

import pytest

REQUIRE_TOOLS = os.environ.get("ANDA_REQUIRE_TOOLS") == "1"


def absent(reason: str) -> None:
    """Skip a test that lacks a tool or data, or fail it where all tools are required."""
    if REQUIRE_TOOLS:
        pytest.fail(f"ANDA_REQUIRE_TOOLS=1, but {reason}", pytrace=False)
    pytest.skip(reason)

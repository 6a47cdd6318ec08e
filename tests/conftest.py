"""Shared fixtures and the rule for missing tools: skipped on a desk, a failure in CI."""

import os
import shutil

import pytest

REQUIRE_TOOLS = os.environ.get("ANDA_REQUIRE_TOOLS") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("tool"):
        name = marker.args[0]
        if shutil.which(name) is None:
            absent(f"the program {name!r} is not installed")
    if next(item.iter_markers("model"), None) is not None:
        from anda_codesign.workloads import missing_data

        if reason := missing_data():
            absent(reason)


def absent(reason: str) -> None:
    if REQUIRE_TOOLS:
        pytest.fail(f"ANDA_REQUIRE_TOOLS=1, but {reason}", pytrace=False)
    pytest.skip(reason)

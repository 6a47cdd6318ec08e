"""Shared fixtures and the rule for missing tools: skipped on a desk, a failure in CI."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# helper modules of several folders stand beside this file
sys.path.insert(0, str(Path(__file__).parent))

from tools import absent

# readline, which pytest loads, names a screen of 80 columns to the processes that pytest starts
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

# a busy machine is no failure
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("tool"):
        name = marker.args[0]
        if shutil.which(name) is None:
            absent(f"the program {name!r} is not installed")
    if item.get_closest_marker("osu018") is not None:
        from anda_codesign.rtl.synthesis.report import OSU018

        if not OSU018.is_file():
            absent("the Debian package qflow-tech-osu018 is not installed")
    if item.get_closest_marker("hf") is not None:
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                absent(f"{package} is not installed (`make test-hf` installs it)")
    if item.get_closest_marker("model") is not None:
        from anda_codesign.workloads import missing_data

        if reason := missing_data():
            absent(reason)

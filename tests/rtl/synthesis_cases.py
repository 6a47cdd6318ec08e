"""Small operands and the library that the tests of synthesis share."""

import os
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.rtl.synthesis import CellLibrary, Operands, find_library
from anda_codesign.rtl.synthesis.report import OSU018

needs_osu = pytest.mark.skipif(
    not OSU018.is_file() and os.environ.get("ANDA_REQUIRE_TOOLS") != "1",
    reason="the Debian package qflow-tech-osu018 is not installed",
)
"""On a desk without the library these tests are skipped; in CI they fail."""


def operands(groups: int = 8, lanes: int = 8) -> Operands:
    """Groups with zeros and an outlier."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((groups, lanes)) * (rng.random((groups, lanes)) < 0.9)
    x[0, 0] = 60
    codes = rng.integers(-8, 8, (groups, lanes)).astype(np.int8)
    return Operands(x.astype(np.float16), codes, (rng.random(groups) + 0.1).astype(np.float16))


def osu018() -> CellLibrary:
    """OSU 0.18 um."""
    return find_library([])


def folder_of(name: str) -> Path:
    """The folder `name` of Liberty files under the folder that the environment variable ANDA_LIBERTY names."""
    root = os.environ.get("ANDA_LIBERTY")
    if root is None or not (Path(root) / name).is_dir():
        pytest.skip(f"ANDA_LIBERTY names no folder with {name}")
    return Path(root) / name

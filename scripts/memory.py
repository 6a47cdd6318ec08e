"""Peak memory of encoding, decoding and writing a large tensor, over its input and output: the table of docs/reliability.md.

    python scripts/memory.py                                  # 2 GiB of FP16; takes a minute and 6 GiB
    python scripts/memory.py --gib 0.25 --update docs/reliability.md

Each step runs in a process of its own. The peak is that of the resident set during the step (VmHWM of Linux), without what the
process held before its input.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from anda_codesign.experiments.markdown import markdown_table, renew_page
from anda_codesign.formats import AndaTensor
from numpy.typing import NDArray

from anda_codesign import AndaFormat

CHANNELS = 4096
BLOCK_TOKENS = 1024
FORMAT = AndaFormat(mantissa_bits=8)
STEPS: dict[str, Callable[[Any], Any]] = {
    "encode": FORMAT.encode,
    "decode": lambda tensor: tensor.decode(),
    "to_bytes": lambda tensor: tensor.to_bytes(),
    "from_bytes": AndaTensor.from_bytes,
}


def main() -> None:
    """Measure all steps and print the table, or one step in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--update", type=Path)
    parser.add_argument("--step", choices=STEPS)
    asked = parser.parse_args()
    if asked.step is not None:
        print(*measure(asked.step, asked.gib))
        return
    rows: list[list[str]] = []
    for step in STEPS:
        command = [sys.executable, __file__, "--gib", str(asked.gib), "--step", step]
        given, made, peak = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        rows.append(
            [f"`{step}`", *(f"{size / 2**30:.2f}" for size in (given, made, peak)), f"{peak / (given + made):.2f}"]
        )
    table = markdown_table(["step", "input GiB", "output GiB", "peak GiB", "peak / (input + output)"], rows)
    if asked.update is None:
        print(table)
    else:
        renew_page(asked.update, {"memory": lambda: table})


def measure(step: str, gib: float) -> tuple[int, int, int]:
    """Bytes of a step's input and output, and of its peak."""
    STEPS[step](_input(step, 0.001))  # compiled and loaded
    before = _status("VmRSS")
    given = _input(step, gib)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
    made = STEPS[step](given)
    return _size(given), _size(made), _status("VmHWM") - before


def _input(step: str, gib: float) -> Any:
    """The input of a step, for an activation tensor of some GiB."""
    tokens = max(int(gib * 2**30) // (2 * CHANNELS), 1)
    x = _activations(tokens)
    if step == "encode":
        return x
    tensor = FORMAT.encode(x)
    return tensor if step in ("decode", "to_bytes") else tensor.to_bytes()


def _activations(tokens: int) -> NDArray[np.float16]:
    rng, x = np.random.default_rng(0), np.empty((tokens, CHANNELS), np.float16)
    for start in range(0, tokens, BLOCK_TOKENS):
        block = x[start : start + BLOCK_TOKENS]
        block[:] = rng.standard_normal(block.shape, np.float32)
    return x


def _size(values: Any) -> int:
    if isinstance(values, AndaTensor):
        return sum(
            getattr(values, field.name).nbytes
            for field in fields(values)
            if hasattr(getattr(values, field.name), "nbytes")
        )
    return memoryview(values).nbytes


def _status(field: str) -> int:
    """A size of this process in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()

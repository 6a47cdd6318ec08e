"""Stimuli of the vector unit: programs that run between GeMMs, on rows of activations."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ....formats.vector.programs import VectorProgram, layer_norm, residual, rms_norm, silu, softmax
from ...simulation.packing import pack
from ...simulation.testbenches.vector import program_streams
from ...vector.unit import VectorUnit
from .circuits import Stimulus
from .operands import Operands

ROWS = 16
"""Rows of a run; each is a group of the operands."""

_PROGRAMS: Mapping[str, Callable[[int, int], VectorProgram]] = MappingProxyType(
    {
        "softmax": lambda channels, lanes: softmax(channels, lanes=lanes),
        "rms-norm": lambda channels, lanes: rms_norm(channels, lanes=lanes),
        "layer-norm": lambda channels, lanes: layer_norm(channels, lanes=lanes),
        "silu": lambda channels, lanes: silu(channels, lanes=lanes),
        "residual": lambda channels, lanes: residual(channels, lanes=lanes),
    }
)


def vector_unit(design: VectorUnit, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """One run for each program. Gains, biases and other second operands are the activations of another group."""
    lanes, channels = design.lanes, operands.lanes
    runs: list[Stimulus] = []
    for name, make in _PROGRAMS.items():
        program = make(channels, lanes)
        parts = [
            program_streams(program, _rows(program, operands, row), lanes=lanes)
            for row in range(min(ROWS, len(operands.activations)))
        ]
        results = _words([part.results for part in parts])
        inputs = {
            "command": [command.pack() for part in parts for command in part.commands],
            "left": _words([part.left for part in parts]),
            "right": _words([part.right for part in parts]),
        }
        work = len(parts) * channels
        runs.append(Stimulus(name, inputs, {"results": len(results)}, work, "value", {"results": results}))
    return runs


def _rows(program: VectorProgram, operands: Operands, row: int) -> dict[str, NDArray[np.float16]]:
    """Rows that a program reads, each from a different group."""
    groups = operands.activations
    return {name: groups[(row + 7 * index) % len(groups)] for index, name in enumerate(program.inputs)}


def _words(vectors: Sequence[NDArray[np.float16]]) -> list[int]:
    joined = np.concatenate(vectors)
    return pack(joined.view(np.uint16).astype(np.int64), 16) if len(joined) else []

"""Vectors of a testbench: payloads of each stream, from captured activations, and what the circuit answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.lib import wiring

from ...formats import InputError
from ..simulation.simulate import run_streams, run_vectors
from ..synthesis.stimuli.operands import Operands, load_operands
from ..synthesis.stimuli.registry import has_stimulus, stimuli

GROUPS = 96
"""Groups of a testbench: some hundred cycles, which every simulator runs in a moment."""

MANTISSA_BITS = (7, 4, 1)
"""Lengths to choose from: the first that the circuit supports."""


@dataclass(frozen=True)
class Vectors:
    """Payloads of a run.

    Attributes
    ----------
    run : `str`
        Name of the run, such as ``M=7``.
    source : `str`
        Origin of the activations.
    is_clocked : `bool`
        False for a circuit without clock: its ports take one value a row.
    inputs, outputs : mapping
        Payloads of each stream, or values of each port, in order.
    """

    run: str
    source: str
    is_clocked: bool
    inputs: Mapping[str, Sequence[int]]
    outputs: Mapping[str, Sequence[int]]


def captured_vectors(design: wiring.Component) -> Vectors | None:
    """Vectors of a circuit; None if there is no stimulus for it."""
    if not has_stimulus(design):
        return None
    operands, source = _operands()
    runs = next((found for m in MANTISSA_BITS if (found := stimuli(design, operands, (m,)))), [])
    if not runs:
        return None
    run = runs[0]
    if not run.is_clocked:
        inputs = {name: list(values) for name, values in run.inputs.items()}
        return Vectors(run.name, source, False, inputs, run_vectors(design, inputs, list(run.outputs)))
    outputs = dict(run.expected)
    if outputs.keys() != run.outputs.keys() or run.masks:  # formats does not give every bit
        transfers = run_streams(design, run.inputs, run.outputs).transfers
        outputs = {name: transfers[name].payloads for name in run.outputs}
    return Vectors(run.name, source, True, run.inputs, outputs)


def _operands() -> tuple[Operands, str]:
    """Groups of the built-in model's trace; random ones where it has not been fetched."""
    try:
        return load_operands(groups=GROUPS), "captured activations of SmolLM2-135M"
    except InputError:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((GROUPS, 64)).astype(np.float16)
        codes = rng.integers(-8, 8, (GROUPS, 64)).astype(np.int8)
        scales = (rng.random(GROUPS) / 16 + 0.01).astype(np.float16)
        return Operands(x, codes, scales), "random activations, seed 0 (anda fetch brings captured ones)"

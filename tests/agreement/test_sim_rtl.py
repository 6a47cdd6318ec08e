"""The simulator's events against the circuit's clock, cycle for cycle, on whole GeMMs."""

import math

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, Int4Weights
from anda_codesign.rtl import run_matrix_engine, run_matrix_unit
from anda_codesign.sim import Architecture, load_architecture, load_technology, simulate
from anda_codesign.sim.config.architecture import Array
from anda_codesign.workloads import Gemm, Precision

INFINITE = load_technology().with_bandwidth(math.inf)


def machine(rows: int, columns: int, lanes: int) -> Architecture:
    """Anda with a small array."""
    anda = load_architecture("anda")
    element = anda.processing_element.model_copy(update={"lanes": lanes})
    return anda.model_copy(update={"array": Array(rows=rows, columns=columns), "processing_element": element})


def operands(
    mantissa_bits: int, tokens: int, in_channels: int, out_channels: int, lanes: int
) -> tuple[AndaTensor, Int4Weights]:
    draw = np.random.default_rng(mantissa_bits)
    x = draw.normal(size=(tokens, in_channels)).astype(np.float16)
    w = Int4Weights.quantize(draw.normal(size=(in_channels, out_channels)).astype(np.float32), group_size=lanes)
    return AndaFormat(mantissa_bits=mantissa_bits, group_size=lanes).encode(x), w


@pytest.mark.parametrize("level", ["analytical", "events"])
@pytest.mark.parametrize(
    ("mantissa_bits", "tokens", "in_channels", "out_channels", "rows", "columns", "lanes"),
    [
        (1, 3, 16, 3, 2, 2, 8),
        (4, 5, 24, 5, 2, 2, 8),
        (7, 4, 50, 6, 2, 3, 16),
        (16, 2, 16, 4, 1, 2, 8),
        (3, 2, 64, 9, 2, 4, 16),
    ],
)
def test_matrix_unit(
    level: str,
    mantissa_bits: int,
    tokens: int,
    in_channels: int,
    out_channels: int,
    rows: int,
    columns: int,
    lanes: int,
):
    """Short reductions are included: their tiles wait for the outputs of the previous tile."""
    a, w = operands(mantissa_bits, tokens, in_channels, out_channels, lanes)
    circuit = run_matrix_unit(a, w, rows=rows, columns=columns)
    model = simulate(
        [Gemm("qkv", tokens, in_channels, out_channels)],
        machine(rows, columns, lanes),
        Precision.uniform(mantissa_bits),
        level,  # type: ignore[arg-type]
        INFINITE,
    )
    run = model.runs[0]
    assert run.array_cycles + run.mapped.collect_cycles == circuit.cycles


@pytest.mark.parametrize("level", ["analytical", "events"])
@pytest.mark.parametrize(
    ("mantissa_bits", "tokens", "in_channels", "out_channels", "rows", "columns", "lanes"),
    [
        (1, 3, 64, 16, 2, 2, 8),
        (2, 4, 64, 8, 2, 2, 8),
        (7, 5, 40, 24, 2, 4, 8),
        (4, 2, 64, 16, 1, 2, 8),
        (16, 3, 32, 16, 2, 4, 16),
    ],
)
def test_matrix_engine(
    level: str,
    mantissa_bits: int,
    tokens: int,
    in_channels: int,
    out_channels: int,
    rows: int,
    columns: int,
    lanes: int,
):
    """Buffers, dispatch, array and collector: from the command to the last group of outputs."""
    a, w = operands(mantissa_bits, tokens, in_channels, out_channels, lanes)
    circuit = run_matrix_engine(a, w, rows=rows, columns=columns)
    # the circuit takes four rows of the weight buffer for a group, whatever the size of the array
    small = machine(rows, columns, lanes)
    port = small.weight_buffer.model_copy(update={"port_bits": columns * lanes})
    small = small.model_copy(update={"weight_buffer": port})
    model = simulate(
        [Gemm("qkv", tokens, in_channels, out_channels)],
        small,
        Precision.uniform(mantissa_bits),
        level,  # type: ignore[arg-type]
        INFINITE,
    )
    assert model.cycles == circuit.cycles

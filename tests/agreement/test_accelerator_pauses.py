"""Memory with pauses: the accelerator's processes against the circuit, cycle for cycle."""

from functools import lru_cache

import numpy as np
import pytest
from anda_codesign.formats import Int4Weights, fp_int_gemm
from anda_codesign.formats.accelerator import compile_gemms, read_outputs
from anda_codesign.rtl import run_accelerator_schedule
from anda_codesign.sim.cycle import accelerator as model
from cases import each
from machines import SMALL_MACHINE

STREAMS = {"request": 0, "read": 11, "write": 22}
"""Lowest of the eight noise bits that decide if a stream pauses."""


@lru_cache(maxsize=1)
def noise(cycles: int) -> list[int]:
    """Noise of `MemoryModel` in each cycle: a shift register with feedback x^32 + x^22 + x^2 + x + 1."""
    states, state = list[int](), 0xACE1ACE1
    for _ in range(cycles):
        states.append(state)
        for _ in range(3):
            feedback = (state >> 31 ^ state >> 21 ^ state >> 1 ^ state) & 1
            state = (state << 1 | feedback) & 0xFFFFFFFF
    return states


@pytest.mark.tool("g++")
@each("seed", range(12))
def test_every_record_of_a_memory_that_pauses(seed: int) -> None:
    """Chains of two GeMMs with few and many pauses, short and long latencies, results compressed or not."""
    rng = np.random.default_rng(seed)
    pauses, latency_cycles = int(rng.integers(40, 200)), int(rng.integers(2, 90))
    tokens, channels, between, outputs = (int(rng.integers(1, most)) for most in (8, 30, 24, 20))
    x = SMALL_MACHINE.format(4).encode(rng.standard_normal((tokens, channels)).astype(np.float16))
    shapes = ((channels, between), (between, outputs))
    weights = [Int4Weights.quantize(rng.standard_normal(shape), 8) for shape in shapes]
    compressed = None if seed % 2 else 5
    plan, memory = compile_gemms(SMALL_MACHINE, x, weights, mantissa_bits=[6], result_mantissa_bits=compressed)
    run = run_accelerator_schedule(plan, memory, latency_cycles=latency_cycles, pauses=pauses, simulator="cxxrtl")
    if compressed is None:
        y = SMALL_MACHINE.format(6).encode(fp_int_gemm(x, weights[0]))
        np.testing.assert_array_equal(read_outputs(plan, run.memory), fp_int_gemm(y, weights[1]))

    def goes_on(stream: str, cycle: int) -> int:
        states = noise(1 << 16)
        while states[run.started + cycle] >> STREAMS[stream] & 255 < pauses:
            cycle += 1
        return cycle

    predicted = model.simulate_schedule(plan, latency_cycles, pauses=goes_on)
    assert {kind: list(cycles) for kind, cycles in run.retired.items()} == predicted.retired
    assert run.cycles == predicted.cycles
    assert run.cycles > model.simulate_schedule(plan, latency_cycles).cycles

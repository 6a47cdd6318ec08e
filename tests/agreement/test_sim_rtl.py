"""The simulator's events against the circuit's clock, cycle for cycle, on whole GeMMs."""

import math
from typing import NamedTuple

import numpy as np
from anda_codesign.formats import AndaFormat, AndaTensor, Int4Weights
from anda_codesign.rtl import run_matrix_engine, run_matrix_unit
from anda_codesign.sim import Architecture, SimulationResult, load_architecture, load_technology, simulate
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.result import Level
from anda_codesign.workloads import Gemm, Precision
from cases import each

INFINITE = load_technology().with_bandwidth(math.inf)
LEVELS: tuple[Level, ...] = ("analytical", "events")


def machine(rows: int, columns: int, lanes: int) -> Architecture:
    """Anda with a small array."""
    anda = load_architecture("anda")
    element = anda.processing_element.model_copy(update={"lanes": lanes})
    return anda.model_copy(update={"array": Array(rows=rows, columns=columns), "processing_element": element})


class Case(NamedTuple):
    mantissa_bits: int
    tokens: int
    in_channels: int
    out_channels: int
    rows: int
    columns: int
    lanes: int

    def operands(self) -> tuple[AndaTensor, Int4Weights]:
        draw = np.random.default_rng(self.mantissa_bits)
        x = draw.normal(size=(self.tokens, self.in_channels)).astype(np.float16)
        w = draw.normal(size=(self.in_channels, self.out_channels)).astype(np.float32)
        fmt = AndaFormat(mantissa_bits=self.mantissa_bits, group_size=self.lanes)
        return fmt.encode(x), Int4Weights.quantize(w, group_size=self.lanes)

    def machine(self) -> Architecture:
        return machine(self.rows, self.columns, self.lanes)

    def simulate(self, machine: Architecture, level: Level) -> SimulationResult:
        gemm = Gemm("qkv", self.tokens, self.in_channels, self.out_channels)
        return simulate([gemm], machine, Precision.uniform(self.mantissa_bits), level=level, technology=INFINITE)


UNIT_CASES = (
    Case(1, 3, 16, 3, 2, 2, 8),
    Case(4, 5, 24, 5, 2, 2, 8),
    Case(7, 4, 50, 6, 2, 3, 16),
    Case(16, 2, 16, 4, 1, 2, 8),
    Case(3, 2, 64, 9, 2, 4, 16),
)
ENGINE_CASES = (
    Case(1, 3, 64, 16, 2, 2, 8),
    Case(2, 4, 64, 8, 2, 2, 8),
    Case(7, 5, 40, 24, 2, 4, 8),
    Case(4, 2, 64, 16, 1, 2, 8),
    Case(16, 3, 32, 16, 2, 4, 16),
)


@each("case", UNIT_CASES)
def test_matrix_unit(case: Case):
    """Short reductions are included: their tiles wait for the outputs of the previous tile."""
    a, w = case.operands()
    circuit = run_matrix_unit(a, w, rows=case.rows, columns=case.columns)
    for level in LEVELS:
        run = case.simulate(case.machine(), level).runs[0]
        assert run.array_cycles + run.mapped.collect_cycles == circuit.cycles, level


@each("case", ENGINE_CASES)
def test_matrix_engine(case: Case):
    """Buffers, dispatch, array and collector: from the command to the last group of outputs."""
    a, w = case.operands()
    circuit = run_matrix_engine(a, w, rows=case.rows, columns=case.columns)
    # the circuit takes four rows of the weight buffer for a group, whatever the size of the array
    small = case.machine()
    port = small.weight_buffer.model_copy(update={"port_bits": case.columns * case.lanes})
    small = small.model_copy(update={"weight_buffer": port})
    for level in LEVELS:
        assert case.simulate(small, level).cycles == circuit.cycles, level

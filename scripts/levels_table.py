"""Table of docs/simulator_inside.md: cycles of random small GeMMs at the simulator's three levels and in the circuit.

``python scripts/levels_table.py`` prints it; ``--update docs/simulator_inside.md`` writes it into the page. The machines are Anda
with small arrays. The circuit runs in Amaranth's simulator. Its memory answers one row of the port a cycle, 16 cycles after
the request. At the other levels the memory has the same bandwidth.
"""

import random
from collections.abc import Iterator

import numpy as np
from anda_codesign.experiments.markdown import markdown_table, tables_command
from anda_codesign.formats import AndaFormat, Int4Weights
from anda_codesign.formats.accelerator import compile_gemms
from anda_codesign.rtl import run_accelerator_schedule
from anda_codesign.sim import Architecture, load_architecture, load_technology, simulate
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.cycle.gemm import MEMORY_LATENCY_CYCLES, accelerator_machine
from anda_codesign.workloads import Gemm, Precision

ARRAYS = ((2, 2), (1, 8), (4, 4))
LANES = 8
GEMMS = 3
"""GeMMs for each array."""
LEVELS = ("analytical", "events", "cycle")


def machine(rows: int, columns: int) -> Architecture:
    """Anda with a small array and small buffers."""
    anda = load_architecture("anda")
    return anda.model_copy(
        update={
            "array": Array(rows=rows, columns=columns),
            "processing_element": anda.processing_element.model_copy(update={"lanes": LANES}),
            "activation_buffer": BufferConfig(capacity="1 KiB", port=f"{16 * LANES} bit"),
            "weight_buffer": BufferConfig(capacity="1 KiB", port=f"{columns * LANES} bit"),
            "weights": anda.weights.model_copy(update={"group_size": LANES}),
        }
    )


def circuit_cycles(small: Architecture, gemm: Gemm, mantissa_bits: int, result_bits: int) -> int:
    """Cycles of the circuit for a GeMM with `mantissa_bits` and a result compressed to `result_bits`."""
    draw = np.random.default_rng(gemm.tokens)
    x = draw.normal(size=(gemm.tokens, gemm.in_channels)).astype(np.float16)
    w = draw.normal(size=(gemm.in_channels, gemm.out_channels)).astype(np.float32)
    plan, memory = compile_gemms(
        accelerator_machine(small),
        AndaFormat(mantissa_bits, LANES).encode(x),
        [Int4Weights.quantize(w, group_size=LANES)],
        mantissa_bits=[],
        result_mantissa_bits=result_bits,
    )
    return run_accelerator_schedule(plan, memory, latency_cycles=MEMORY_LATENCY_CYCLES).cycles


def rows() -> Iterator[list[str]]:
    """Shape, mantissa bits, array and cycles of one random GeMM a row."""
    draw = random.Random(1)
    for array in ARRAYS:
        small = machine(*array)
        bandwidth = small.activation_buffer.port_bits * small.clock_hz / 8e9
        technology = load_technology().with_bandwidth(bandwidth)
        for _ in range(GEMMS):
            gemm = Gemm("u", draw.randint(1, 12), draw.randint(8, 60), draw.randint(8, 30))
            m_in, m_out = draw.randint(3, 11), draw.randint(3, 11)
            levels = [
                simulate([gemm], small, Precision(1, 1, m_in, m_out), level, technology).cycles for level in LEVELS
            ]
            cycles = [*levels, circuit_cycles(small, gemm, m_in, m_out)]
            size = f"{gemm.tokens}x{gemm.in_channels}x{gemm.out_channels}"
            yield [size, str(m_in), str(m_out), "{} x {}".format(*array), *map("{:,}".format, cycles)]


def table() -> str:
    return markdown_table(["GeMM", "M in", "M out", "array", *LEVELS, "circuit"], rows())


if __name__ == "__main__":
    tables_command(__doc__, {"circuit": table})

"""The simulator's level `cycle` against the accelerator's circuit, and against the other levels."""

import math

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError, Int4Weights
from anda_codesign.formats.accelerator import compile_gemms
from anda_codesign.rtl import run_accelerator_schedule
from anda_codesign.sim import Architecture, load_architecture, load_technology, simulate
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.cycle.gemm import MEMORY_LATENCY_CYCLES, accelerator_machine
from anda_codesign.sim.mapping.resident import double_buffered
from anda_codesign.workloads import Gemm, Precision
from hypothesis import Phase, given, settings
from hypothesis import strategies as st


def small(rows: int, columns: int, lanes: int, kib: int = 1) -> Architecture:
    """Anda with a small array, and buffers as wide as those of its circuit."""
    anda = load_architecture("anda")
    element = anda.processing_element.model_copy(update={"lanes": lanes})
    port = max(rows * lanes, columns * lanes, 16 * lanes)
    weights = anda.weights.model_copy(update={"group_size": lanes})
    return anda.model_copy(
        update={
            "array": Array(rows=rows, columns=columns),
            "processing_element": element,
            "activation_buffer": BufferConfig(capacity=f"{kib} KiB", port=f"{port} bit"),
            "weight_buffer": BufferConfig(capacity=f"{kib} KiB", port=f"{columns * lanes} bit"),
            "weights": weights,
        }
    )


def circuit_cycles(machine: Architecture, gemm: Gemm, mantissa_bits: int, result_bits: int | None) -> int:
    draw, lanes = np.random.default_rng(7), machine.group_size
    x = draw.normal(size=(gemm.tokens, gemm.in_channels)).astype(np.float16)
    w = draw.normal(size=(gemm.in_channels, gemm.out_channels)).astype(np.float32)
    tensor = AndaFormat(mantissa_bits, lanes).encode(x)
    plan, memory = compile_gemms(
        accelerator_machine(machine), tensor, [Int4Weights.quantize(w, group_size=lanes)], mantissa_bits=[],
        result_mantissa_bits=result_bits,
    )  # fmt: skip
    return run_accelerator_schedule(plan, memory, latency_cycles=MEMORY_LATENCY_CYCLES).cycles


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(
    st.sampled_from([(2, 2, 8), (1, 2, 8), (3, 4, 8), (2, 1, 8)]),
    st.integers(1, 6),
    st.integers(1, 24),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from(["qkv", "u"]),
)
def test_equal_to_the_circuit_cycle_for_cycle(
    array: tuple[int, int, int], tokens: int, channels: int, outputs: int, m: int, m_out: int, module: str
):
    """Loads, array, compressor and stores of a whole program; results of ``qkv`` stay FP16."""
    machine, gemm = small(*array), Gemm(module, tokens, channels, outputs)
    precision = Precision(m, 1, m, m_out)
    result = simulate([gemm], machine, precision, "cycle")
    assert result.cycles == circuit_cycles(machine, gemm, m, None if module == "qkv" else m_out)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["qkv", "u"]),
    st.integers(1, 300),
    st.integers(1, 1500),
    st.integers(1, 500),
    st.integers(1, 16),
)
def test_never_below_the_closed_form(module: str, tokens: int, channels: int, outputs: int, m: int):
    """The circuit starts after its loads are done, and stores only whole strips."""
    gemm = Gemm(module, tokens, channels, outputs)
    infinite = load_technology().with_bandwidth(math.inf)
    instructions = simulate([gemm], "anda", Precision.uniform(m), "cycle")
    assert instructions.level == "cycle"
    assert instructions.cycles > simulate([gemm], "anda", Precision.uniform(m), technology=infinite).cycles


@pytest.mark.parametrize(
    ("gemm", "more"), [((256, 1024, 1024), 0.04), ((512, 2048, 1024), 0.03), ((1, 4096, 2048), 0.03)]
)
def test_levels_agree_on_large_gemms(gemm: tuple[int, int, int], more: float):
    """The circuit loads a chunk of tokens before it starts on it; its other overheads are hidden."""
    closed, events, instructions = (
        simulate([Gemm("o", *gemm)], "anda", Precision.uniform(8), level)  # type: ignore[arg-type]
        for level in ("analytical", "events", "cycle")
    )
    assert closed.cycles <= events.cycles < instructions.cycles < (1 + more) * events.cycles


def test_the_circuit_fills_the_buffer_once():
    """4096 channels at M = 8: a double-buffered tile leaves room to load the next one meanwhile; the schedule keeps one tile."""
    gemm = Gemm("o", 2048, 4096, 64)
    run = simulate([gemm], "anda", Precision.uniform(8), "cycle").runs[0]
    candidate = double_buffered(run.mapped)[0]
    assert (candidate.stays, candidate.tokens, candidate.activation_copies) == ("activations", 112, 2)
    assert str(run.mapping) == "activations:224x4096x64:single/double:array"


def test_bad_input():
    cases = (
        ({"architecture": "figna"}, "level: cycle .* figna$"),
        ({"weights": "spqr-3"}, "level: cycle .* spqr-3$"),
        (
            {"mapping": "nothing"},
            "mapping: the circuit .* use activations:16x64x64:single/double:array instead of nothing",
        ),
        ({"partial_sums": "buffer"}, "partial_sums: .* use array, or level events$"),
        ({"memory": "hbm2"}, "memory: 'hbm2' needs level events"),
    )
    for arguments, expected in cases:
        given = {"architecture": "anda", "precision": Precision.uniform(7), "level": "cycle", **arguments}
        with pytest.raises(InputError, match=f"^{expected}"):
            simulate([Gemm("u", 16, 64, 64)], **given)  # type: ignore[arg-type]


def test_another_port_of_the_weights():
    machine = load_architecture("anda").model_copy(
        update={"weight_buffer": BufferConfig(capacity="1 MiB", port="512 bit")}
    )
    with pytest.raises(InputError, match=r"^weight_buffer.port: .*1024 bit for 16 columns of 64 lanes"):
        simulate([Gemm("u", 16, 64, 64)], machine, Precision.uniform(7), "cycle")

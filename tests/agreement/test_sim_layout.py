"""The machine moves exactly the bits of the tensors of `formats`."""

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, Int4Weights
from anda_codesign.sim import load_technology, simulate
from anda_codesign.sim.events.gemm import run_events
from anda_codesign.sim.memory.dram import FlatDram
from anda_codesign.sim.schedule.tile_schedule import TileSchedule
from anda_codesign.workloads import Gemm, Precision
from hypothesis import given, settings
from hypothesis import strategies as st

EXPONENT_BITS = 5


def stored_bits(mantissa_bits: int, tokens: int, channels: int) -> int:
    """Signs, planes and 5-bit exponents of an encoded tensor."""
    x = np.linspace(-3, 3, tokens * channels, dtype=np.float16).reshape(tokens, channels)
    tensor = AndaFormat(mantissa_bits=mantissa_bits).encode(x)
    return 64 * (tensor.signs.size + tensor.planes.size) + EXPONENT_BITS * tensor.exponents.size


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300), st.integers(1, 16), st.integers(1, 16))
def test_compressed_bits_are_written_and_read(tokens: int, in_channels: int, out_channels: int, m_in: int, m_out: int):
    """Compressor, layout and DRAM count the same bits."""
    gemm = Gemm("u", tokens, in_channels, out_channels)
    run = simulate([gemm], "anda", Precision(1, 1, m_in, m_out)).runs[0]
    assert run.traffic.tensor_bits["activations"] == stored_bits(m_in, tokens, in_channels)
    assert run.traffic.results == stored_bits(m_out, tokens, out_channels)
    report = run_events(run.mapped, TileSchedule(run.mapped, run.mapping), FlatDram(1000.0))
    assert report.dram.bits == run.traffic.dram_bits


@pytest.mark.parametrize(("in_channels", "out_channels"), [(128, 4), (576, 5), (100, 3)])
def test_weight_bits_are_those_of_the_quantised_tensor(in_channels: int, out_channels: int):
    weights = Int4Weights.quantize(np.ones((in_channels, out_channels), np.float32))
    gemm = Gemm("qkv", 1, in_channels, out_channels)
    run = simulate([gemm], "anda", Precision.uniform(7), technology=load_technology()).runs[0]
    assert run.traffic.tensor_bits["weights"] == pytest.approx(weights.bits_per_weight * in_channels * out_channels)

"""Partial sums that are saved to a buffer and restored change no bit of a result."""

import random

import mappings
import numpy as np
import small_work
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm
from anda_codesign.formats.gemm.fp_int import accumulate
from anda_codesign.formats.gemm.operands import GemmFlags
from anda_codesign.formats.numeric.fp16 import round_to_fp16
from anda_codesign.sim.mapping.mapped_gemm import SUM_BITS, map_gemm
from anda_codesign.sim.schedule.nest import nest_steps
from anda_codesign.sim.schedule.strips import Strips
from anda_codesign.workloads import Gemm, Precision
from hypothesis import assume, given, settings
from hypothesis import strategies as st

LANES = 8


@settings(max_examples=40, deadline=None)
@given(
    small_work.gemms(tokens=9, in_channels=80, out_channels=12),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.randoms(),
)
def test_the_loop_nest_of_any_mapping_gives_the_bits_of_the_gemm(
    gemm: Gemm, mantissa_bits: int, seed: int, draw: random.Random
):
    """Tile by tile as the schedule says; sums of a tile lie in a buffer of bytes between the parts of their reduction."""
    machine = mappings.small_machine("anda", (2, 2), (1500, 1500), 64)
    shape = map_gemm(gemm, machine, Precision.uniform(mantissa_bits))
    legal = [mapping for mapping in mappings.legal_mappings(shape) if mapping.buffered_sums]
    assume(legal)
    values = np.random.default_rng(seed)
    scale = 10.0 ** values.uniform(-3, 3, (1, gemm.in_channels))
    x = (values.normal(size=(gemm.tokens, gemm.in_channels)) * scale).astype(np.float16)
    a = AndaFormat(mantissa_bits, LANES).encode(x)
    w = Int4Weights.quantize(
        values.normal(size=(gemm.in_channels, gemm.out_channels)).astype(np.float32), group_size=LANES
    )
    expected = fp_int_gemm(a, w)
    result = np.full_like(expected, np.nan)
    buffer: dict[tuple[int, int], bytes] = {}
    for step in nest_steps(Strips(shape, draw.choice(legal))):
        tokens, channels = slice(*step.tokens), slice(*step.channels)
        size = step.tokens.length, step.channels.length
        place = step.tokens.start, step.channels.start
        saved = buffer.pop(place, bytes(size[0] * size[1] * SUM_BITS // 8))
        sums = np.frombuffer(saved, np.float32).reshape(size).copy()
        own = Int4Weights(w.codes[:, channels], w.scales[:, channels], LANES)
        part = range(step.groups.start * LANES, min(step.groups.stop * LANES, gemm.in_channels))
        accumulate(sums, a.take(tokens), own, part, "fp16", GemmFlags())
        if step.groups.stop < shape.groups:
            buffer[place] = sums.tobytes()
        else:
            result[tokens, channels], _ = round_to_fp16(sums)
    assert not buffer
    np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))

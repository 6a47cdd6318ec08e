"""The 16 x 16 matrix unit on a slice of a real layer: equal bits, and the predicted cycles."""

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, GemmFlags, Int4Weights, fp_int_gemm
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl import run_matrix_unit
from anda_codesign.workloads import MODULES, Precision, Trace, capture_trace, load_blocks, load_decoder
from latencies import matrix_unit_cycles

TOKENS, CHANNELS, OUTPUTS, LAYER = 128, 576, 576, 11
FIRST_LINEAR = {"qkv": "q", "o": "o", "u": "gate", "d": "down"}


def operands(trace: Trace, module: str) -> tuple[np.ndarray, Int4Weights]:
    """Activations of a module, and its weights in the format of the paper: signed INT4, one scale per 128 channels."""
    weights = trace.weights(LAYER, FIRST_LINEAR[module]).dequantize()[:CHANNELS, :OUTPUTS]
    activations = np.ascontiguousarray(trace.activation(LAYER, module)[:, :CHANNELS])
    return activations, Int4Weights.quantize(weights)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.tool("g++")
def test_the_array_computes_every_module_of_a_layer() -> None:
    """128 tokens x 576 x 576 of each module of the built-in model, at one combination of M."""
    decoder = load_decoder()
    trace = capture_trace(decoder, load_blocks(decoder.tokenizer, tokens=TOKENS, blocks=1), (LAYER,), TOKENS)
    precision = Precision(8, 6, 8, 7)
    for module in MODULES:
        x, weights = operands(trace, module)
        mantissa_bits = getattr(precision, module)
        activations = AndaFormat(mantissa_bits).encode(x)
        flags = GemmFlags()
        expected = fp_int_gemm(activations, weights, flags=flags)
        run = run_matrix_unit(activations, weights, simulator="cxxrtl")
        np.testing.assert_array_equal(run.outputs.view(np.uint16), expected.view(np.uint16))
        assert run.flags == flags
        tiles, groups = TOKENS // 16 * OUTPUTS // 16, CHANNELS // 64
        assert run.cycles == matrix_unit_cycles(tiles, groups, pe_cycles_per_group(mantissa_bits), columns=16)

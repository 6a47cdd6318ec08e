"""The accelerator on captured and on adversarial data, every M and several arrays, in a compiled simulator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.circuits.accelerator_run import run_gemm
from anda_codesign.experiments.options.circuits import AcceleratorOptions
from anda_codesign.formats import AndaFormat, GemmFlags, Int4Weights, fp_int_gemm
from anda_codesign.formats.accelerator import AcceleratorConfig, compile_gemms, read_outputs, read_tensor
from anda_codesign.rtl import run_accelerator_schedule
from anda_codesign.workloads import MODULES, capture_trace, load_blocks, load_decoder
from cases import each
from machines import SMALL_MACHINE
from numpy.typing import NDArray

pytestmark = pytest.mark.tool("g++")

MACHINES = [SMALL_MACHINE, replace(SMALL_MACHINE, rows=3, columns=4, affine=True, memory_bits=512)]
TOKENS, CHANNELS, OUTPUTS = 5, 24, 18


def halves(*patterns: int) -> NDArray[np.float16]:
    return np.array(patterns, np.uint16).view(np.float16)


def adversarial() -> dict[str, NDArray[np.float16]]:
    """Activations ``[tokens, channels]`` at the limits of the format."""
    rng = np.random.default_rng(0)
    shape = (TOKENS, CHANNELS)
    smooth = rng.standard_normal(shape).astype(np.float16)
    zero_groups = smooth.copy()
    zero_groups[:, 8:16] = 0
    spread = (smooth * 2.0 ** rng.integers(-24, 14, shape)).astype(np.float16)
    return {
        "zeros": np.zeros(shape, np.float16),
        "zero groups": zero_groups,
        "largest": np.full(shape, 65504, np.float16),
        "alternating signs": np.where(np.arange(CHANNELS) % 2, 65504, -65504).astype(np.float16)
        * np.ones((TOKENS, 1), np.float16),
        "negative zeros": rng.choice(halves(0x8000, 0x0000, 0x8001), shape),
        "subnormals": rng.integers(0, 0x400, shape).astype(np.uint16).view(np.float16) * np.float16(-1),
        "every exponent": spread,
        "one outlier": np.where(np.arange(CHANNELS) == 9, np.float16(60000), smooth).astype(np.float16),
    }


def weights(machine: AcceleratorConfig, kind: str) -> Int4Weights:
    rng = np.random.default_rng(1)
    low, high = (0, 15) if machine.affine else (-8, 7)
    codes = rng.integers(low, high + 1, (CHANNELS, OUTPUTS))
    scales = rng.standard_normal((CHANNELS // 8, OUTPUTS)) / 16
    if kind == "extreme":
        codes, scales = rng.choice([low, high], codes.shape), rng.choice([65504, -65504, 6e-8, 0], scales.shape)
    offsets = np.flip(scales).astype(np.float16) if machine.affine else None
    return Int4Weights(codes.astype(np.int8), scales.astype(np.float16), 8, offsets)


@pytest.mark.parametrize("kind", ["plain", "extreme"])
@each("mantissa_bits", range(1, 17))
@pytest.mark.parametrize("machine", MACHINES, ids=["2x2", "3x4 affine"])
def test_adversarial_data(machine: AcceleratorConfig, mantissa_bits: int, kind: str) -> None:
    w = weights(machine, kind)
    for name, values in adversarial().items():
        x = AndaFormat(mantissa_bits, 8).encode(values)
        flags = GemmFlags()
        expected = fp_int_gemm(x, w, flags=flags)
        plan, memory = compile_gemms(machine, x, [w])
        run = run_accelerator_schedule(plan, memory, simulator="cxxrtl")
        np.testing.assert_array_equal(
            read_outputs(plan, run.memory).view(np.uint16), expected.view(np.uint16), err_msg=name
        )
        assert (run.flags["partial_saturated"], run.flags["result_saturated"]) == (
            flags.partial_saturated,
            flags.result_saturated,
        ), name
        plan, memory = compile_gemms(machine, x, [w], result_mantissa_bits=17 - mantissa_bits)
        run = run_accelerator_schedule(plan, memory, simulator="cxxrtl")
        encoded = AndaFormat(17 - mantissa_bits, 8).encode(expected)
        assert read_tensor(plan, run.memory).to_bytes() == encoded.to_bytes(), name


def test_the_data_saturates_and_does_not() -> None:
    """Both values of the flags above occur."""
    seen: set[tuple[bool, bool]] = set()
    for machine in MACHINES:
        for kind in ("plain", "extreme"):
            for values in adversarial().values():
                flags = GemmFlags()
                fp_int_gemm(AndaFormat(11, 8).encode(values), weights(machine, kind), flags=flags)
                seen.add((flags.partial_saturated, flags.result_saturated))
    assert {(False, False), (True, True)} <= seen


@pytest.mark.model
@pytest.mark.slow
def test_captured_activations_of_every_module(tmp_path: Path) -> None:
    decoder = load_decoder("smollm2-135m")
    blocks = load_blocks(decoder.tokenizer, "wiki", "calibration", tokens=8, blocks=1)
    path = tmp_path / "trace.safetensors"
    capture_trace(decoder, blocks, layers=[0], tokens=6).save(path)
    for mantissa_bits in range(1, 17):
        module = MODULES[mantissa_bits % len(MODULES)]
        size: dict[str, Any] = {"m": mantissa_bits, "tokens": 5, "k": 160, "n": 33, "rows": 2, "columns": 2}
        check = run_gemm(AcceleratorOptions(**size, trace=path, module=module, simulator="cxxrtl"))
        assert check.agrees, (mantissa_bits, module, check)

"""The accelerator behind AXI4 and AXI4-Lite, against the bus models of cocotbext-axi."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError, Int4Weights, fp_int_gemm
from anda_codesign.formats.accelerator import AcceleratorConfig, compile_gemms, read_outputs
from anda_codesign.rtl import to_verilog
from anda_codesign.rtl.verilog.lint import lint_text
from tools import absent

SIZES = {
    "rows": 2,
    "columns": 2,
    "lanes": 8,
    "memory_bits": 128,
    "plane_depth": 64,
    "exponent_depth": 16,
    "weight_depth": 64,
    "factor_depth": 32,
    "result_depth": 16,
    "instruction_depth": 64,
    "vector_unit": False,
}


@pytest.mark.tool("iverilog")
def test_programs_over_axi(tmp_path: Path) -> None:
    text = to_verilog("accelerator-axi", **SIZES)
    assert lint_text(text, "accelerator_axi") == []
    if importlib.util.find_spec("cocotb") is None or importlib.util.find_spec("cocotbext") is None:
        absent("cocotb and cocotbext-axi are not installed")
    rng = np.random.default_rng(0)
    a = AndaFormat(mantissa_bits=7, group_size=8).encode(rng.standard_normal((3, 20)).astype(np.float16))
    w = Int4Weights.quantize(rng.standard_normal((20, 12)), group_size=16)
    plan, memory = compile_gemms(AcceleratorConfig(**SIZES), a, [w])
    (tmp_path / "accelerator_axi.v").write_text(text)
    (tmp_path / "memory.bin").write_bytes(memory.tobytes())
    (tmp_path / "program.txt").write_text("\n".join(f"{each.encode():x}" for each in plan.instructions))
    shutil.copy(Path(__file__).with_name("axi_bench.py"), tmp_path)
    config = [sys.executable, "-m", "cocotb_tools.config", "--makefiles"]
    makefiles = subprocess.run(config, capture_output=True, text=True, check=True).stdout.strip()
    command = ["make", "-f", f"{makefiles}/Makefile.sim", "SIM=icarus", "VERILOG_SOURCES=accelerator_axi.v"]
    command += ["COCOTB_TOPLEVEL=accelerator_axi", "COCOTB_TEST_MODULES=axi_bench", "COMPILE_ARGS=-g2012"]
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert "PASS=1 FAIL=0" in done.stdout + done.stderr, done.stdout + done.stderr
    after = np.frombuffer((tmp_path / "after.bin").read_bytes(), np.uint8).reshape(memory.shape)
    assert np.array_equal(read_outputs(plan, after).view(np.uint16), fp_int_gemm(a, w).view(np.uint16))


def test_a_memory_that_is_no_bus() -> None:
    with pytest.raises(InputError, match="memory_bits: 136 is no width of an AXI4 bus"):
        to_verilog("accelerator-axi", **SIZES | {"memory_bits": 136})

"""The GeMM's memory stays within twice its operands and result."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

rng = np.random.default_rng(0)
a = AndaFormat(1).encode(rng.standard_normal((1024, 2048)).astype(np.float16))
codes = rng.integers(-8, 8, (2048, 4096), np.int8)
w = Int4Weights(codes, np.ones((16, 4096), np.float16))
fp_int_gemm(a.take(slice(0, 300)), w)  # loads the kernels
before = peak_bytes()
result = fp_int_gemm(a, w)
operands = a.signs.nbytes + a.planes.nbytes + a.exponents.nbytes + codes.nbytes + w.scales.nbytes
print(peak_bytes() - before, operands, result.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak resident memory in kilobytes")
def test_memory() -> None:
    completed = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    grown, operands, result = (int(number) for number in completed.stdout.split())
    assert operands + grown <= 2 * (operands + result)

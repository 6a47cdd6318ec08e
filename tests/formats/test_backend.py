"""Choosing between compiled and plain code."""

import subprocess
import sys

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.backend import SMALL, use_compiled


@pytest.mark.parametrize(
    ("choice", "expected"), [("auto", (False, True)), ("numba", (True, True)), ("numpy", (False, False))]
)
def test_choices(choice: str, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDA_KERNELS", choice)
    assert (use_compiled(SMALL - 1), use_compiled(SMALL)) == expected


def test_refuses_an_unknown_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDA_KERNELS", "cuda")
    with pytest.raises(InputError) as caught:
        use_compiled(1)
    assert str(caught.value) == "ANDA_KERNELS: 'cuda' is not valid; choose one of auto, numba, numpy"


def test_numba_is_loaded_only_for_large_arrays() -> None:
    program = """
import sys
import numpy as np
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm
a = AndaFormat(8).encode(np.ones((2, 64), np.float16))
a.decode()
fp_int_gemm(a, Int4Weights.quantize(np.ones((64, 2))))
assert "numba" not in sys.modules
AndaFormat(8).encode(np.ones((4096, 64), np.float16))
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)

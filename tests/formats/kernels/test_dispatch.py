"""Choosing between compiled and plain code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.kernels.dispatch import PAID, SMALL, SMALLEST, use_compiled


@pytest.mark.parametrize(
    ("choice", "expected"), [("auto", (False, True)), ("numba", (True, True)), ("numpy", (False, False))]
)
def test_choices(choice: str, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDA_KERNELS", choice)
    assert (use_compiled(SMALL - 1), use_compiled(SMALL)) == expected


def test_small_arrays_are_compiled_once_the_kernel_is_loaded_or_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDA_KERNELS", raising=False)
    assert not use_compiled(SMALLEST, "a test")
    assert use_compiled(SMALL, "a test")
    assert use_compiled(SMALLEST, "a test")
    assert not use_compiled(SMALLEST - 1, "a test")
    assert [use_compiled(SMALL // 2, "another") for _ in range(PAID // (SMALL // 2))].count(True) == 1


def test_refuses_an_unknown_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDA_KERNELS", "cuda")
    with pytest.raises(InputError) as caught:
        use_compiled(1)
    assert str(caught.value).startswith("ANDA_KERNELS: 'cuda'")


def test_numba_is_loaded_only_for_large_arrays() -> None:
    program = """
import sys
from pathlib import Path
from typing import Any
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


def test_stored_code_is_dropped_when_any_kernel_file_changes(tmp_path: Path) -> None:
    from anda_codesign.formats.kernels.jit import source_stamp

    (tmp_path / "tile.py").write_text("ROWS = 6\n")
    before = source_stamp(tmp_path)
    assert source_stamp(tmp_path) == before
    (tmp_path / "tile.py").write_text("ROWS = 12\n")
    changed = source_stamp(tmp_path)
    (tmp_path / "planes.py").write_text("")
    assert len({before, changed, source_stamp(tmp_path)}) == 3


def test_kernels_are_stored_under_the_stamp_of_their_folder() -> None:
    """numba's own file stamps are what `kernel` replaces; this fails if another numba keeps them elsewhere."""
    from anda_codesign.formats.gemm.kernels import multiply_block
    from anda_codesign.formats.kernels.jit import source_stamp

    cache: Any = multiply_block
    assert cache._cache._cache_file._source_stamp == source_stamp()

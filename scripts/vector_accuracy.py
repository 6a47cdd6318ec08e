"""Print the tables of docs/rtl.md on the vector unit: accuracy of its functions and programs, and their cycles.

python scripts/vector_accuracy.py
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from anda_codesign.formats.numeric.fp16 import round_to_fp16, ulp_errors
from anda_codesign.formats.vector.functions import VectorFunction, evaluate
from anda_codesign.formats.vector.programs import (
    VectorProgram,
    layer_norm,
    relu,
    residual,
    rms_norm,
    rotation,
    silu,
    softmax,
)
from numpy.typing import NDArray

Real = NDArray[np.float64]

_PATTERNS = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
HALVES = _PATTERNS[np.isfinite(_PATTERNS)]

EXACT: dict[VectorFunction, Callable[[Real], Real]] = {
    VectorFunction.EXPONENTIAL: lambda x: np.exp(np.minimum(x, 700)),
    VectorFunction.RECIPROCAL: lambda x: 1 / x,
    VectorFunction.RECIPROCAL_ROOT: lambda x: 1 / np.sqrt(x),
}
DOMAINS: dict[VectorFunction, NDArray[np.float16]] = {
    VectorFunction.EXPONENTIAL: HALVES,
    VectorFunction.RECIPROCAL: HALVES[HALVES != 0],
    VectorFunction.RECIPROCAL_ROOT: HALVES[HALVES > 0],
}


def function_rows() -> Iterator[tuple[Any, ...]]:
    """Each function over every half: inputs whose result fits, largest error, results not correctly rounded."""
    for function, domain in DOMAINS.items():
        exact = EXACT[function](domain.astype(np.float64))
        fits = np.abs(exact) < 65520
        values = evaluate(function, domain[fits].astype(np.float32))
        halves, _ = round_to_fp16(values)
        exact = exact[fits]
        normal = np.abs(exact) >= 2.0**-14
        relative = np.abs(values[normal] / exact[normal] - 1).max()
        wrong = np.count_nonzero(halves != exact.astype(np.float16))
        largest = ulp_errors(halves, exact).max()
        yield (
            function.name,
            fits.sum(),
            f"{largest:.3f}",
            f"2^{np.log2(relative):.2f}",
            f"{100 * wrong / fits.sum():.2f} %",
        )


def _softmax(rows: dict[str, Real]) -> Real:
    powers = np.exp(rows["x"] - rows["x"].max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _rms_norm(rows: dict[str, Real]) -> Real:
    x = rows["x"]
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-5) * rows["gain"]


def _layer_norm(rows: dict[str, Real]) -> Real:
    x = rows["x"] - rows["x"].mean(axis=-1, keepdims=True)
    return _rms_norm({"x": x, "gain": rows["gain"]}) + rows["bias"]


def _silu(rows: dict[str, Real]) -> Real:
    return rows["x"] / (1 + np.exp(np.minimum(-rows["x"], 700)))


PROGRAMS: list[tuple[str, VectorProgram, Callable[[dict[str, Real]], Real]]] = [
    ("softmax", softmax(4096), _softmax),
    ("RMSNorm", rms_norm(4096), _rms_norm),
    ("LayerNorm", layer_norm(4096), _layer_norm),
    ("SiLU", silu(4096), _silu),
    ("SiLU, gated", silu(4096, gated=True), lambda rows: _silu(rows) * rows["gate"]),
    ("ReLU", relu(4096), lambda rows: np.maximum(rows["x"], 0)),
    ("residual", residual(4096), lambda rows: rows["x"] + rows["skip"]),
    (
        "rotation",
        rotation(4096),
        lambda rows: rows["x"] * rows["cosine"] + rows["turned"] * rows["sine"],
    ),
]


def program_rows() -> Iterator[tuple[Any, ...]]:
    """Each program over 64 rows of 4096 values of a normal distribution: passes, cycles a row, errors."""
    rng = np.random.default_rng(0)
    for name, program, exact in PROGRAMS:
        rows = {row: rng.standard_normal(program.channels).astype(np.float16) for row in program.inputs}
        rows["x"] = (3 * rng.standard_normal((64, program.channels))).astype(np.float16)
        expected = exact({row: values.astype(np.float64) for row, values in rows.items()})
        results = program.run(rows)
        errors = ulp_errors(results, expected)
        worst = (np.abs(results - expected).max(axis=-1) / np.abs(expected).max(axis=-1)).max()
        yield (
            name,
            program.passes,
            program.cycles(64),
            f"{np.median(errors):.2f}",
            f"{np.percentile(errors, 99.9):.2f}",
            f"2^{np.log2(worst):.1f}" if worst else "0",
        )


def show(header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def main() -> None:
    """Both tables."""
    show(
        ("function", "halves", "largest error (ULP)", "relative, before rounding", "not the nearest half"),
        function_rows(),
    )
    header = ("program", "passes", "cycles a row", "median ULP", "99.9 % ULP", "largest error / row's largest value")
    show(header, program_rows())


if __name__ == "__main__":
    main()

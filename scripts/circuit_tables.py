# amaranth: UnusedElaboratable=no
"""Tables of docs/rtl.md: the vector unit's accuracy and cycles, the accelerator's instructions and ports.

``python scripts/circuit_tables.py`` prints them; ``--update docs/rtl.md`` writes them into the page.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from anda_codesign.experiments.markdown import markdown_table, tables_command
from anda_codesign.formats.accelerator.config import AcceleratorConfig
from anda_codesign.formats.accelerator.instructions import FIELDS, RULES
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
from anda_codesign.rtl import Accelerator
from anda_codesign.rtl.simulation.ports import ports
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
    """Accuracy of each function over every finite FP16 value whose result fits FP16."""
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
    """Passes, cycles a row and errors of each program over 64 rows of 4096 normally distributed values."""
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


def vector_functions() -> str:
    columns = ["function", "halves", "largest error (ULP)", "relative, before rounding", "not the nearest half"]
    return markdown_table(columns, function_rows())


def vector_programs() -> str:
    errors = ["median ULP", "99.9 % ULP", "largest error / row's largest value"]
    return markdown_table(["program", "passes", "cycles a row", *errors], program_rows())


def instructions() -> str:
    """Instruction set of the accelerator: number of each instruction; width, range and meaning of its fields."""
    rows: list[list[object]] = []
    for opcode, fields in FIELDS.items():
        name = f"`{opcode.name.lower()}` ({opcode.value})"
        for field in fields:
            rows.append([name, f"`{field.name}`", field.bits, field.legal, field.meaning])
            name = ""
        rows += [["", "", "", rule.text(opcode), "a rule between fields"] for rule in RULES.get(opcode, ())]
        if not fields:
            rows.append([name, "", "", "", ""])
    return markdown_table(["instruction", "field", "bits", "legal", "meaning"], rows, text_columns=5)


def accelerator_ports() -> str:
    rows = (
        [f"`{port.name}`", "in" if port.is_input else "out", port.width]
        for port in ports(Accelerator(AcceleratorConfig()))
    )
    return markdown_table(["port", "direction", "bits"], rows, text_columns=2)


TABLES = {
    "vector-functions": vector_functions,
    "vector-programs": vector_programs,
    "instructions": instructions,
    "ports": accelerator_ports,
}


if __name__ == "__main__":
    tables_command(__doc__, TABLES)

"""Run the processing element and a compressor lane on a slice of a captured trace; compare both with the format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import AndaFormat, Int4Weights
from ...formats.checks import check_integer
from ...formats.numeric.alignment import GROUP_SIZE, MAX_MANTISSA_BITS
from ...workloads import MODULES, Trace
from ..files import require_new_file
from ..inputs import as_trace
from ..options.circuits import CheckOptions
from ..options.parse import several
from ..options.question import question
from ..options.result import Result


@dataclass(frozen=True)
class CircuitCheck:
    """Comparison of one circuit with the format on one slice, in Amaranth's simulator."""

    circuit: str
    module: str
    m: int
    compared: int
    """Compared partial sums of the processing element, or memory words of the compressor."""
    mismatches: int
    cycles: int
    predicted_cycles: int
    """Cycles stated in `formats.latency`."""


@dataclass(frozen=True)
class CircuitChecks(Result):
    """Result of `check_circuits`: one check for each circuit, module and mantissa width."""

    checks: list[CircuitCheck]

    @property
    def mismatches(self) -> int:
        """Number of values in which a circuit and the format differ."""
        return sum(check.mismatches for check in self.checks)

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda rtl check --json -`` prints."""
        return [asdict(check) for check in self.checks]


@question(CheckOptions)
def check_circuits(options: CheckOptions) -> CircuitChecks:
    """Run a processing element and a compressor lane on a slice of a trace; compare both with the format bit for bit.

    The slice has the first tokens and output channels of each module of a captured layer.

    Returns
    -------
    CircuitChecks
        One row for each circuit, module and mantissa width.

    Raises
    ------
    InputError
        The trace is missing or damaged, the layer was not captured, or the slice is empty or too large.
    """
    vcd = None if options.vcd is None else Path(options.vcd)
    require_new_file("vcd", vcd)
    for suffix in (".gtkw", ".sucl") if vcd else ():
        require_new_file("vcd", vcd and vcd.with_suffix(suffix))
    widths = [check_integer("m", width, 1, MAX_MANTISSA_BITS) for width in several(options.m)]
    trace = as_trace(options.trace)
    checks = [
        check
        for m in widths
        for module in MODULES
        for check in _check_module(trace, options.layer, module, m, options.tokens, options.outputs, vcd)
    ]
    if vcd is not None:
        from ...rtl.simulation.vcd import write_views

        write_views(vcd)
    return CircuitChecks(checks)


def _check_module(
    trace: Trace, layer: int, module: str, m: int, tokens: int, outputs: int, vcd: Path | None
) -> list[CircuitCheck]:
    x = trace.activation(layer, module)
    weights = trace.first_weights(layer, module)
    for field, asked, held in (("tokens", tokens, len(x)), ("outputs", outputs, weights.codes.shape[1])):
        check_integer(field, asked, 1, held)
    x = np.ascontiguousarray(x[:tokens])
    return [
        _check_pe(x, weights.corner(weights.codes.shape[0], outputs), module, m, vcd),
        _check_compressor(x, module, m),
    ]


def _check_pe(x: NDArray[np.float16], weights: Int4Weights, module: str, m: int, vcd: Path | None) -> CircuitCheck:
    from ...rtl import compare_trace

    run = compare_trace(AndaFormat(mantissa_bits=m).encode(x), weights, vcd=vcd)
    return CircuitCheck("anda-pe", module, m, run.expected.size, run.mismatches, run.cycles, run.predicted_cycles)


def _check_compressor(x: NDArray[np.float16], module: str, m: int) -> CircuitCheck:
    from ...formats.latency.array import bpc_cycles_per_group
    from ...rtl import run_bpc_lane

    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % GROUP_SIZE)))
    fmt = AndaFormat(mantissa_bits=m, nonfinite="saturate")
    expected = fmt.encode(padded)
    run = run_bpc_lane(padded, fmt)
    differing = [
        int(np.count_nonzero(getattr(run.tensor, field) != getattr(expected, field)))
        for field in ("signs", "planes", "exponents")
    ]
    compared = expected.signs.size + expected.planes.size + expected.exponents.size
    predicted = expected.exponents.size * bpc_cycles_per_group(m)
    return CircuitCheck("bpc-lane", module, m, compared, sum(differing), run.cycles, predicted)

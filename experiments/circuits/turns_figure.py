"""Figure of four units of a row that take turns at one conversion, multiplier and adder, cycle by cycle."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...formats import AndaFormat
from ...rtl.elements.scaled_pe import ScaledAndaPE, ScaledAndaPEParameters
from ...rtl.simulation.operands import plane_stream
from ...rtl.simulation.packing import pack, pack_fields
from ...rtl.simulation.simulate import run_streams
from ...rtl.simulation.vcd import read_vcd
from .waveform_figure import WaveformRow, draw_waveform, signed_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LANES, UNITS, MANTISSA_BITS, GROUPS = 8, 4, 5, 2
PARAMETERS = ScaledAndaPEParameters(lanes=LANES, units=UNITS, signs="row", max_mantissa_bits=MANTISSA_BITS)
_ACCUMULATOR = "group_accumulator"
_SCALING = f"{_ACCUMULATOR}.scale_accumulator"


def _half(value: int) -> str:
    return f"{np.array(value, np.uint16).view(np.float16):.4g}"


def _single(value: int) -> str:
    return f"{np.array(value, np.uint32).view(np.float32):.4g}"


_ROW = [
    WaveformRow("sign plane", "element.load"),
    WaveformRow("mantissa plane", "element.step"),
    WaveformRow("weights taken", "weights__ready"),
    WaveformRow("dot products valid", "groups__valid"),
]
_SHARED = [
    WaveformRow(
        "conversion: unit", f"{_ACCUMULATOR}.left", lambda left: str(-left % UNITS), f"{_ACCUMULATOR}.group__valid"
    ),
    WaveformRow(
        "its dot product",
        rf"{_ACCUMULATOR}.\group__payload.partial_sum",
        signed_text(PARAMETERS.partial_sum_bits),
        f"{_ACCUMULATOR}.group__valid",
    ),
    WaveformRow("multiplier: FP16 dot product", f"{_SCALING}.partials__payload", _half, f"{_SCALING}.partials__valid"),
    WaveformRow("adder: product", f"{_SCALING}.product_1", _single, f"{_SCALING}.valid_1"),
    WaveformRow("newest sum", f"{_SCALING}.sums", lambda sums: _single(sums >> 32 * (UNITS - 1))),
    WaveformRow("result valid", f"{_ACCUMULATOR}.result__valid"),
]


def draw_turns() -> "Figure":
    """Simulate two groups of a row of four units, and draw the signals of the simulation."""
    rng = np.random.default_rng(1)
    planes = plane_stream(
        AndaFormat(MANTISSA_BITS, LANES).encode(rng.standard_normal((1, GROUPS * LANES)).astype(np.float16)), LANES
    )
    scales = rng.choice(np.array([0.25, 0.5, 1, 2], np.float16), GROUPS * UNITS)
    last = (np.arange(GROUPS * UNITS) // UNITS == GROUPS - 1).astype(np.int64)
    inputs = {
        "activation": planes,
        "weights": pack(rng.integers(-8, 8, (GROUPS, UNITS * LANES)), 4),
        "scales": pack_fields([(scales.view(np.uint16), 16), (last, 1)]),
    }
    with tempfile.TemporaryDirectory() as folder:
        vcd = Path(folder) / "turns.vcd"
        run_streams(ScaledAndaPE(PARAMETERS), inputs, {"result": UNITS}, vcd=vcd)
        waveform = read_vcd(vcd)
    title = f"Four units of a row, two groups of {MANTISSA_BITS} mantissa bits: while planes pass, the units take turns"
    return draw_waveform(waveform, [("Row of dot products", _ROW), ("Shared by the units", _SHARED)], title)

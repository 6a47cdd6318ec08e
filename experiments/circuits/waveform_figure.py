"""Figure of a group of activations in a compressor lane and a processing element, cycle by cycle."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...rtl.compressor.bpc import BpcLane, BpcLaneParameters, compressor_layout
from ...rtl.elements.anda_pe import AndaPE, AndaPEParameters
from ...rtl.interfaces import Stream, partial_sum_bits, partial_sum_layout
from ...rtl.simulation.packing import pack
from ...rtl.simulation.simulate import run_streams
from ...rtl.simulation.vcd import Waveform, read_vcd
from ...sim.output.palette import BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANES, MANTISSA_BITS, WEIGHT_BITS = 4, 5, 4
VALUES = (1.75, -0.625, 0.09375, -3.25)
WEIGHTS = (3, -5, 7, 2)
_SUM_BITS = partial_sum_bits(LANES, WEIGHT_BITS, MANTISSA_BITS)


class LaneAndElement(wiring.Component):
    """A compressor lane connected to a processing element."""

    group: Stream
    weights: Stream
    result: Stream

    def __init__(self) -> None:
        super().__init__(
            {
                "group": In(stream.Signature(compressor_layout(LANES, MANTISSA_BITS))),
                "weights": In(stream.Signature(data.ArrayLayout(signed(WEIGHT_BITS), LANES))),
                "result": Out(
                    stream.Signature(partial_sum_layout(partial_sum_bits(LANES, WEIGHT_BITS, MANTISSA_BITS)))
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect the lane's planes to the processing element."""
        m = Module()
        m.submodules.lane = lane = BpcLane(BpcLaneParameters(lanes=LANES, max_mantissa_bits=MANTISSA_BITS))
        m.submodules.pe = pe = AndaPE(
            AndaPEParameters(lanes=LANES, weight_bits=WEIGHT_BITS, max_mantissa_bits=MANTISSA_BITS)
        )
        wiring.connect(m, wiring.flipped(self.group), lane.group)
        wiring.connect(m, lane.planes, pe.activation)
        wiring.connect(m, wiring.flipped(self.weights), pe.weights)
        wiring.connect(m, pe.result, wiring.flipped(self.result))
        return m


class WaveformRow(NamedTuple):
    """A line of the figure."""

    label: str
    signal: str
    """Path of the signal below ``bench.top``."""
    show: Callable[[int], str] | None = None
    """Text of a value; None draws a single bit as a line."""
    valid: str | None = None
    """Signal that is high in the cycles with a meaningful value."""


def _binary(value: int) -> str:
    return format(value, f"0{LANES}b")[::-1]


def signed_text(bits: int) -> Callable[[int], str]:
    """Text of a two's complement value of `bits` bits."""
    return lambda value: str(value - (value >> bits - 1 << bits))


_LANE = [
    WaveformRow("group valid", "group__valid"),
    WaveformRow("group (halves)", "group__payload", lambda _: f"{LANES} halves", "group__valid"),
    *[
        WaveformRow(f"exponent, countdown {lane}", f"lane.aligner_{lane}.own_exponent", str, "lane.planes__valid")
        for lane in range(LANES)
    ],
    WaveformRow("shared exponent", r"lane.shared_exponent", str, "lane.sign_phase"),
    WaveformRow("planes valid", "lane.planes__valid"),
    WaveformRow("plane (element 0 first)", r"lane.\planes__payload.plane", _binary, "lane.planes__valid"),
    WaveformRow("last", r"lane.\planes__payload.last"),
]
_ELEMENT = [
    WaveformRow("load signs", "pe.load"),
    WaveformRow("add a plane", "pe.step"),
    WaveformRow("weights", "weights__payload", lambda _: ", ".join(map(str, WEIGHTS)), "weights__valid"),
    WaveformRow("weights taken", "weights__ready"),
    WaveformRow("partial sum", "pe.partial_sum", signed_text(_SUM_BITS)),
    WaveformRow("result valid", "result__valid"),
    WaveformRow("result", r"\result__payload.partial_sum", signed_text(_SUM_BITS), "result__valid"),
]


def draw_group() -> "Figure":
    """Simulate one group, and draw the signals of the simulation."""
    with tempfile.TemporaryDirectory() as folder:
        vcd = Path(folder) / "group.vcd"
        halves = pack(np.array([VALUES], np.float16).view(np.uint16).astype(np.int64), 16)
        group = halves[0] | MANTISSA_BITS << 16 * LANES
        inputs = {"group": [group], "weights": pack(np.array([WEIGHTS]), WEIGHT_BITS)}
        run_streams(LaneAndElement(), inputs, {"result": 1}, vcd=vcd)
        waveform = read_vcd(vcd)
    groups = [("Compressor lane", _LANE), ("Processing element", _ELEMENT)]
    return draw_waveform(waveform, groups, _title(waveform))


def draw_waveform(waveform: Waveform, groups: Sequence[tuple[str, Sequence[WaveformRow]]], title: str) -> "Figure":
    """Draw signals of a simulation, cycle by cycle: each group has a title and its rows."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows: list[WaveformRow | str] = [each for title, members in groups for each in (title, *members)]
    cycles = len(waveform.samples("bench.top.clk"))
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 8.5}):
        figure = Figure(figsize=(11, 0.33 * len(rows) + 1.3), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlim(-2.1, cycles)
        axes.set_ylim(len(rows) + 0.2, -0.6)
        axes.axis("off")
        for cycle in range(cycles):
            axes.axvline(cycle, color="0.88", linewidth=0.7, zorder=0)
            axes.text(cycle + 0.5, -0.25, str(cycle), ha="center", color="0.4")
        axes.text(-0.1, -0.25, "cycle", ha="right", color="0.4")
        for position, row in enumerate(rows):
            if isinstance(row, str):
                axes.text(-2.1, position + 0.6, row, weight="bold", va="center")
            else:
                axes.text(-0.1, position + 0.6, row.label, ha="right", va="center")
                _draw_row(axes, waveform, row, position)
        figure.suptitle(title, fontsize=9)
    return figure


def _draw_row(axes: "Axes", waveform: Waveform, row: WaveformRow, position: int) -> None:
    """Draw a single bit as a line, or a number as one box for each run of equal values."""
    values = waveform.samples(f"bench.top.{row.signal}")
    high, low = position + 0.25, position + 0.9
    if row.show is None:
        levels = [high if value else low for value in values]
        axes.step(range(len(values) + 1), [*levels, levels[-1]], where="post", color=BLUE, linewidth=1.3)
        return
    valid = waveform.samples(f"bench.top.{row.valid}") if row.valid else [1] * len(values)
    shown = [row.show(value) if ok else "" for value, ok in zip(values, valid, strict=True)]
    start = 0
    for cycle in range(1, len(shown) + 1):
        # each cycle sends another plane, even if it equals the previous one
        if cycle == len(shown) or shown[cycle] != shown[start] or row.show is _binary:
            _draw_box(axes, start, cycle, high, low, shown[start])
            start = cycle


def _draw_box(axes: "Axes", start: int, end: int, high: float, low: float, text: str) -> None:
    if not text:
        axes.plot([start, end], [(high + low) / 2] * 2, color="0.75", linewidth=0.9)
        return
    slope, middle = 0.08, (high + low) / 2
    outline = [(start, middle), (start + slope, high), (end - slope, high)]
    outline += [(end, middle), (end - slope, low), (start + slope, low)]
    axes.fill(*zip(*outline, strict=True), facecolor="#e6f1f8", edgecolor=BLUE, linewidth=0.9)
    axes.text((start + end) / 2, middle, text, ha="center", va="center", fontsize=8)


def _title(waveform: Waveform) -> str:
    """Activations, weights, and their scaled dot product."""
    valid = waveform.samples("bench.top.result__valid").index(1)
    value = signed_text(_SUM_BITS)(waveform.samples(r"bench.top.\result__payload.partial_sum")[valid])
    exponent = signed_text(6)(waveform.samples(r"bench.top.\result__payload.exponent")[valid])
    values, weights = ", ".join(map(str, VALUES)), ", ".join(map(str, WEIGHTS))
    return f"({values}) · ({weights}) with {MANTISSA_BITS} mantissa bits: {value} · 2^({exponent} - 14)"

"""Draw the two figures of "Start" in the documentation: the number format, and where time and energy of the machine go.

``python scripts/beginning_figures.py`` writes docs/figures/format.png and docs/figures/machine.png.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl

import anda_codesign

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from anda_codesign.formats.anda.format import AndaFormat
from anda_codesign.workloads import Trace
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import FancyBboxPatch

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
M = 7
SIGNIFICAND_BITS = 16
"""Bit-planes that the figure shows; the first M are kept."""
BLUE, ORANGE, GREY, PALE = "#3b6ea5", "#d9822b", "#9a9a9a", "#eef2f7"


def captured_group() -> np.ndarray:
    """64 neighbouring FP16 activations that enter qkv of the built-in model's layer 15."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.safetensors"
        anda_codesign.capture_trace(out=path, layers=(15,), tokens=16)
        return Trace.load(path).activation(15, "qkv")[8, :64].copy()


def draw_format(x: np.ndarray) -> None:
    """Values, their signs and aligned bit-planes, and what is left of them after truncation."""
    values = x.astype(np.float64)
    exponent = int(np.floor(np.log2(np.abs(values).max())))
    integers = np.floor(np.abs(values) / 2.0 ** (exponent - SIGNIFICAND_BITS + 1)).astype(np.int64)
    planes = (integers[None, :] >> np.arange(SIGNIFICAND_BITS - 1, -1, -1)[:, None]) & 1
    decoded = AndaFormat(mantissa_bits=M).encode(x).decode().astype(np.float64)
    figure, axes = plt.subplots(
        4, 1, figsize=(10, 8.4), sharex=True, height_ratios=(2.2, 0.35, 3.6, 1.5), layout="constrained"
    )
    channels = np.arange(len(values))
    axes[0].bar(channels, values, color=BLUE)
    axes[0].set_title(f"64 activations in FP16 (layer 15 of SmolLM2-135M): 64 x 16 = {64 * 16:,} bits", loc="left")
    axes[0].set_ylabel("value")
    axes[1].imshow(np.signbit(x)[None], aspect="auto", cmap=ListedColormap(["white", "black"]), interpolation="nearest")
    axes[1].set_yticks([0], ["sign"])
    kept = planes * np.where(np.arange(SIGNIFICAND_BITS) < M, 2, 1)[:, None]
    axes[2].imshow(
        kept, aspect="auto", cmap=ListedColormap(["white", "#d4d4d4", BLUE]), vmin=0, vmax=2, interpolation="nearest"
    )
    axes[2].axhline(M - 0.5, color=ORANGE, linewidth=2)
    axes[2].set_yticks(
        range(SIGNIFICAND_BITS), [f"$2^{{{exponent - plane}}}$" for plane in range(SIGNIFICAND_BITS)], fontsize=8
    )
    axes[2].set_ylabel("bit-plane")
    stored = 64 * (M + 1) + 5
    axes[2].set_title(
        f"Mantissas aligned to one shared exponent. Above the line: the M = {M} planes that are stored,\n"
        f"with signs and exponent 64 x {M} + 64 + 5 = {stored} bits",
        loc="left",
    )
    axes[3].bar(channels, values - decoded, color=ORANGE)
    axes[3].set_ylabel("lost")
    axes[3].set_xlabel("channel")
    noise = 10 * np.log10((values**2).sum() / ((values - decoded) ** 2).sum())
    axes[3].set_title(
        f"What truncation loses: less than $2^{{{exponent - M + 1}}}$ of each value; signal to noise {noise:.1f} dB",
        loc="left",
    )
    for part in axes:
        part.spines[["top", "right"]].set_visible(False)
        part.title.set_size(10)
    figure.savefig(FIGURES / "format.png", dpi=110)
    plt.close(figure)


def box(axes: Axes, at: tuple[float, float], size: tuple[float, float], title: str, text: str, color: str) -> None:
    """A block of the machine."""
    axes.add_patch(FancyBboxPatch(at, *size, boxstyle="round,pad=0.02,rounding_size=0.08", fc=color, ec="#445566"))
    x, y = at[0] + size[0] / 2, at[1] + size[1] / 2
    axes.text(x, y + 0.17, title, ha="center", va="center", weight="bold", fontsize=10.5)
    axes.text(x, y - 0.2, text, ha="center", va="center", fontsize=9)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    """A stream of data."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#445566", "lw": 1.5})
    axes.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.09, label, ha="center", fontsize=8.5)


def draw_machine() -> None:
    """Blocks of the accelerator, and the energy and time of LLaMA-7B on it beside FP-FP."""
    results = {
        name: anda_codesign.simulate(model="LLaMA-7B", arch=name, precision=M if name == "anda" else None, whole=True)
        for name in ("fp-fp", "anda")
    }
    figure, (blocks, bars) = plt.subplots(2, 1, figsize=(10, 7.4), height_ratios=(2.4, 1.5), layout="constrained")
    blocks.set(xlim=(0, 10), ylim=(0, 3.9))
    blocks.axis("off")
    blocks.text(6.4, 3.72, "results as planes", ha="center", fontsize=8.5)
    box(blocks, (0.1, 0.5), (1.7, 2.9), "DRAM", "activations,\nweights, results", PALE)
    box(blocks, (3.0, 2.4), (1.9, 1.0), "Activation buffer", "signs and bit-planes", PALE)
    box(blocks, (3.0, 0.5), (1.9, 1.0), "Weight buffer", "4-bit weights", PALE)
    box(blocks, (6.1, 1.35), (1.7, 1.2), "Array", "16 x 16 elements,\na plane each cycle", "#dce8f5")
    box(blocks, (8.35, 2.4), (1.55, 1.0), "Compressor", "FP16 to planes", "#dce8f5")
    box(blocks, (8.35, 0.5), (1.55, 1.0), "Vector unit", "softmax, norms", "#dce8f5")
    arrow(blocks, (1.85, 2.9), (2.95, 2.9), "planes")
    arrow(blocks, (1.85, 1.0), (2.95, 1.0), "weights")
    arrow(blocks, (4.95, 2.7), (6.05, 2.2), "")
    arrow(blocks, (4.95, 1.2), (6.05, 1.7), "")
    arrow(blocks, (7.85, 2.2), (8.3, 2.5), "")
    arrow(blocks, (7.85, 1.7), (8.3, 1.4), "")
    blocks.text(7.95, 1.95, "FP16 results", fontsize=8.5)
    arrow(blocks, (9.1, 1.55), (9.1, 2.35), "")
    blocks.annotate(
        "", (4.0, 3.45), (9.1, 3.45), arrowprops={"arrowstyle": "-|>", "color": "#445566", "lw": 1.5,
                                                  "connectionstyle": "bar,fraction=0.05"}
    )  # fmt: skip
    draw_energy(bars, results)
    figure.savefig(FIGURES / "machine.png", dpi=110)
    plt.close(figure)


def draw_energy(axes: Axes, results: dict[str, Any]) -> None:
    """Energy by part, a bar for each machine, with its time beside it."""
    parts = (
        ("compute", "array, compressor, vector unit", BLUE),
        ("sram", "buffers", "#7fb3d5"),
        ("dram", "DRAM", GREY),
    )
    for row, result in enumerate(results.values()):
        document, left = result.to_dict(), 0.0
        for part, _, color in parts:
            joules = document["energy_pj"][part] / 1e12
            axes.barh(row, joules, left=left, color=color, height=0.6)
            if joules > 0.3:
                axes.text(
                    left + joules / 2, row, f"{joules:.1f} J", ha="center", va="center", fontsize=9, color="black"
                )
            left += joules
        axes.text(left + 0.15, row, f"{left:.1f} J in {document['seconds']:.1f} s", va="center", fontsize=10)
        axes.set_xlim(0, max(axes.get_xlim()[1], left * 1.18))
    axes.set_yticks(range(len(results)), [f"{name}, M = {M}" if name == "anda" else name for name in results])
    axes.invert_yaxis()
    axes.set_xlabel("energy of a prefill of 2,048 tokens of LLaMA-7B (joules)")
    axes.legend([plt.Rectangle((0, 0), 1, 1, color=color) for *_, color in parts], [label for _, label, _ in parts],
                ncols=3, loc="lower right", frameon=False, fontsize=9)  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw_format(captured_group())
    draw_machine()

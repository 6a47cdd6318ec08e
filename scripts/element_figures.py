"""Draws the pictures of the shared parts of elements for docs/rtl.md: blocks with areas, the array, a waveform."""

import argparse
from pathlib import Path

import matplotlib as mpl
from anda_codesign.experiments.circuits.turns_figure import draw_turns
from anda_codesign.experiments.synthesis.shared_units import array_figure, blocks_figure

FOLDER = Path(__file__).parents[1] / "docs" / "figures"


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the shared parts of elements.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pictures (default: docs/figures)")
    folder = parser.parse_args().out
    with mpl.rc_context({"svg.hashsalt": "anda", "svg.fonttype": "none"}):
        for name, draw in (("element_blocks", blocks_figure), ("array_shared", array_figure), ("turns", draw_turns)):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

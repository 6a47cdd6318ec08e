"""Elements that share parts: their blocks add up, and the pictures can be drawn."""

from pathlib import Path

import pytest
from anda_codesign.experiments.circuits.turns_figure import UNITS, draw_turns
from anda_codesign.experiments.synthesis.elements import ANDA
from anda_codesign.experiments.synthesis.shared_units import ROW, array_figure, blocks_figure, element_blocks
from anda_codesign.rtl.synthesis.results import find_result

FIGURES = Path(__file__).parents[3] / "docs" / "figures"


@pytest.mark.parametrize("units", [1, 4])
def test_blocks_add_up_to_the_measured_element(units: int) -> None:
    blocks = element_blocks(units)
    whole = find_result("asap7", ANDA[0], "M=7", **(ANDA[1] if units == 1 else {**ANDA[1], **ROW}))
    assert sum(block.area_um2 for block in blocks) == pytest.approx(whole.area_um2 / units)
    assert all(block.area_um2 > 0 for block in blocks)


def test_pictures() -> None:
    texts = [text.get_text() for text in blocks_figure().axes[0].texts]
    assert sum("one for 4 units" in text for text in texts) == 3
    assert [text.get_text() for text in array_figure().axes[0].texts].count("dot product") == 3 * 2 * UNITS
    drawn = [text.get_text() for text in draw_turns().axes[0].texts]
    assert [text for text in drawn if text in ("150", "-129", "-277", "-95")] == ["150", "-129", "-277", "-95"]
    for name in ("element_blocks", "array_shared", "turns"):
        assert (FIGURES / f"{name}.svg").stat().st_size > 5_000

"""Area and energy of the Anda format's options, from synthesised circuits (rtl/synthesis/results)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.numeric.alignment import GROUP_SIZE

if TYPE_CHECKING:
    import pandas as pd

    from ...rtl.synthesis.results import SynthesisResult

AREA, ENERGY = "area_circuits_mm2", "energy_circuits_pj"
COMPRESSOR_LANES = 16
"""Compressor lanes of 64 values; shorter groups have more lanes, for the same values a cycle."""
DEFAULTS = {"rows": 16, "columns": 16, "lanes": GROUP_SIZE}
COLUMNS = {"rows": "array_rows", "columns": "array_columns", "lanes": "processing_element_lanes"}
"""Columns of a sweep that may set these sizes."""


def with_circuits(frame: pd.DataFrame, library: str) -> pd.DataFrame:
    """Add ``area_circuits_mm2`` and ``energy_circuits_pj`` to results of Anda in the technology of a library.

    A sweep knows the cycles, buffers and DRAM traffic of every option, but a technology prices the published element and
    compressor alone. Added is what the option's circuits take beyond those, by themselves: of midpoint reconstruction and
    of other groups the dot product (with a conversion, scale and accumulator for each group), of rounding to nearest the
    compressor's lanes.

    Parameters
    ----------
    frame
        Results of a sweep, with option columns ``rounding`` and ``reconstruct``.
    library
        A library that there are results of synthesis for, which is the sweep's technology, too.

    Raises
    ------
    InputError
        There are no such results, or rows are of another architecture or technology.
    """
    for name, value in (("arch", "anda"), ("technology", library)):
        if other := sorted(set(frame[name]) - {value}):
            raise InputError(f"circuits: results are of {name} {other[0]}; sweep {name} {value}")
    rows = [_Row.of(row) for row in frame.to_dict("records")]
    return frame.assign(
        **{
            AREA: [mm2 + row.extra_mm2(library) for row, mm2 in zip(rows, frame["area_mm2"], strict=True)],
            ENERGY: [pj + row.extra_pj(library) for row, pj in zip(rows, frame["energy_total_pj"], strict=True)],
        }
    )


@dataclass(frozen=True)
class _Row:
    """Circuits of a row, and their work."""

    elements: int
    lanes: int
    midpoint: bool
    nearest: bool
    work: Mapping[int, tuple[int, int]]
    """Multiply-accumulates, and values to compress, by mantissa bits."""

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> _Row:
        size = {name: int(row.get(column, DEFAULTS[name])) for name, column in COLUMNS.items()}
        options = row["reconstruct"] == "midpoint", row["rounding"] == "nearest"
        return cls(size["rows"] * size["columns"], size["lanes"], *options, _work(row))

    def extra_mm2(self, library: str) -> float:
        """Extra area over published circuits with as many lanes."""
        first = min(self.work)
        lanes = GROUP_SIZE / self.lanes
        published = _element(library, first).area_um2
        own = published + self._dot_product(library, first).area_um2 - _dot_product(library, first, {}).area_um2
        compressor = lanes * self._compressor(library, first).area_um2 - _compressor(library, first, {}).area_um2
        return 1e-6 * (self.elements * (own - published / lanes) + COMPRESSOR_LANES * compressor)

    def extra_pj(self, library: str) -> float:
        """Energy beyond that of the published circuits in the same work."""
        total = 0.0
        for bits, (macs, values) in self.work.items():
            own, published = self._compressor(library, bits), _compressor(library, bits, {})
            total += values * (own.energy_pj_per_operation - published.energy_pj_per_operation)
            total += macs * self._extra_pj_per_mac(library, bits)
        return total

    def _extra_pj_per_mac(self, library: str, bits: int) -> float:
        """Energy of the dot product, and of the circuits behind it, which work once a group."""
        published = _dot_product(library, bits, {}).energy_pj_per_operation
        behind = _element(library, bits).energy_pj_per_operation - published
        return (
            self._dot_product(library, bits).energy_pj_per_operation
            - published
            + behind * (GROUP_SIZE / self.lanes - 1)
        )

    def _dot_product(self, library: str, bits: int) -> SynthesisResult:
        return _dot_product(library, bits, self._lanes() | ({"midpoint": True} if self.midpoint else {}))

    def _compressor(self, library: str, bits: int) -> SynthesisResult:
        return _compressor(library, bits, self._lanes() | ({"nearest": True} if self.nearest else {}))

    def _lanes(self) -> dict[str, Any]:
        return {"lanes": self.lanes} if self.lanes != GROUP_SIZE else {}


def _work(row: Mapping[Any, Any]) -> dict[int, tuple[int, int]]:
    """Multiply-accumulates and values that enter GeMMs, by mantissa bits."""
    from ...workloads import MODULES, gemms, load_shape

    found: dict[int, tuple[int, int]] = {}
    widths = {module: int(row[f"mantissa_bits_{module}"]) for module in MODULES}
    tokens, context, batch = (int(row[name]) for name in ("tokens", "context", "batch"))
    products = gemms(load_shape(row["model"]), row["phase"], tokens, context, batch=batch)
    for gemm in products:
        macs, values = found.get(widths[gemm.module], (0, 0))
        taken = gemm.tokens * gemm.in_channels * gemm.repeat
        found[widths[gemm.module]] = macs + gemm.total_macs, values + taken
    return found


def _dot_product(library: str, bits: int, options: Mapping[str, Any]) -> SynthesisResult:
    from ..synthesis.elements import ANDA

    return _find(library, "anda-pe", bits, {**ANDA[1], **options})


def _element(library: str, bits: int) -> SynthesisResult:
    from ..synthesis.elements import ANDA

    return _find(library, ANDA[0], bits, ANDA[1])


def _compressor(library: str, bits: int, options: Mapping[str, Any]) -> SynthesisResult:
    return _find(library, "bpc-lane", bits, options)


def _find(library: str, design: str, bits: int, parameters: Mapping[str, Any]) -> SynthesisResult:
    from ...rtl.synthesis.results import find_result

    return find_result(library, design, f"M={bits}", **parameters)

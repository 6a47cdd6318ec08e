"""Measures of the machine that the published figures show: each is computed here once.

A design is named as in Fig. 16: ``FIGNA``, or ``Anda 1%`` with the tolerance of its precision tuples. A precision tuple
is ignored by the designs with fixed mantissa bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Literal, TypeAlias

from ....sim import ModelResult, SimulationResult, load_architecture, load_technology, simulate, simulate_model
from ....sim.mapping.gemm_mapping import PartialSums
from ....workloads import Precision, gemms, model_shape

TOKENS = 2048
"""Tokens of the prefill behind all system figures."""
BASE = "FP-FP"
"""The design that all efficiencies are relative to."""
BASELINES = ("FP-INT", "iFPU", "FIGNA", "FIGNA-M11", "FIGNA-M8")
SPLIT_MODEL = "LLaMA-13B"
"""Model of Figs. 17 and 18."""
ONE_TILE = "model"
"""One token tile per model: the mapping that agrees with the published DRAM energies (docs/calibration.md)."""

Reading: TypeAlias = Literal["time", "modules"]
"""How a model's speedup is formed, which the paper does not say (docs/calibration.md).

``time``: all cycles of FP-FP over all cycles of the design. ``modules``: the mean of the four modules' speedups, weighted
by their multiply-accumulates. Both are equal where every module has the same mantissa length.
"""


def element_efficiency(label: str, quantity: str) -> float:
    """``area_efficiency`` or ``energy_efficiency`` of one processing element over FP-FP's (Fig. 15).

    It is throughput over area, or over power. Labels are those of Fig. 15, such as ``FIGNA`` or ``Anda-M7``.
    """
    name, bits = ("anda", int(label[6:])) if label.startswith("Anda") else (label.lower(), 16)
    slow, own = (load_architecture(arch) for arch in ("fp-fp", name))
    speed = slow.element_cycles_per_group(16) / own.element_cycles_per_group(bits)
    element = load_technology().element(name)
    constant = element.area if quantity == "area_efficiency" else element.power
    assert constant is not None
    return speed / constant.value


@cache
def run_system(
    label: str, model: str, bits: Precision, mapping: str = ONE_TILE, partial_sums: PartialSums | None = None
) -> SimulationResult:
    """The FP-INT GeMMs of a prefill of `TOKENS` tokens on a design."""
    name = label.partition(" ")[0].lower()
    work = gemms(model_shape(model), tokens=TOKENS)
    return simulate(work, name, bits, mapping=mapping, partial_sums=partial_sums, idle="full")


def system_ratio(
    label: str,
    model: str,
    bits: Precision,
    quantity: str,
    reading: Reading = "time",
    mapping: str = ONE_TILE,
    partial_sums: PartialSums | None = None,
) -> float:
    """``speedup``, ``area_efficiency`` or ``energy_efficiency`` of a design over FP-FP, for one model (Fig. 16).

    ``dram_saving`` is FP-FP's DRAM traffic over the design's.
    """
    ours, base = (run_system(name, model, bits, mapping, partial_sums) for name in (label, BASE))
    if quantity == "dram_saving":
        return base.dram_bytes / ours.dram_bytes
    if quantity == "energy_efficiency":
        return base.energy_pj.total / ours.energy_pj.total
    speedup = base.cycles / ours.cycles if reading == "time" else _mean_speedup(base, ours)
    return speedup if quantity == "speedup" else speedup * base.area_mm2 / ours.area_mm2


def _mean_speedup(base: SimulationResult, ours: SimulationResult) -> float:
    """Mean of the modules' speedups, weighted by their multiply-accumulates."""
    pairs = zip(base.runs, ours.runs, strict=True)
    return sum(run.gemm.total_macs * slow.cycles / run.cycles for slow, run in pairs) / ours.macs


def system_mean(
    label: str,
    models: Mapping[str, Precision],
    quantity: str,
    reading: Reading = "time",
    mapping: str = ONE_TILE,
    partial_sums: PartialSums | None = None,
) -> float:
    """Geometric mean of `system_ratio` over models, each at its own precision."""
    ratios = [
        system_ratio(label, model, bits, quantity, reading, mapping, partial_sums) for model, bits in models.items()
    ]
    return math.prod(ratios) ** (1 / len(ratios))


def energy_percent(label: str, bits: Precision, mapping: str = ONE_TILE) -> dict[str, float]:
    """Compute, SRAM and DRAM energy of `SPLIT_MODEL` in percent of FP-FP's total (Fig. 17)."""
    ours, base = (run_system(name, SPLIT_MODEL, bits, mapping).energy_pj for name in (label, BASE))
    return {part: 100 * getattr(ours, part) / base.total for part in ("compute", "sram", "dram")}


def prefill(model: str, tokens: int, design: str = "fp-fp", bits: int = 16, vector_unit: str = "fp16") -> ModelResult:
    """A model in prefill as the Anda paper counts it, without head and traffic of the vector unit.

    Its `fp_int_share` is the quantity of Fig. 2.
    """
    return simulate_model(
        model_shape(model),
        design,
        Precision.uniform(bits),
        tokens=tokens,
        vector_unit=vector_unit,
        vector_traffic="none",
        head="none",
    )

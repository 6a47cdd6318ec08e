"""Whole models: the FP-INT GeMMs, the attention's products and the vector unit, layer by layer, in prefill or decode.

The parts run one after the other: what the vector unit could do while the array works is not overlapped. The GeMMs are
timed at the level that is asked for; attention and vector unit at closed form, as the larger of work and DRAM traffic.
Embedding and language-model head are left out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..formats import InputError
from ..workloads import ModelShape, Precision, gemms
from .architecture import Architecture
from .attention import AttentionWork, KvCache, attention_work
from .energy import UnitCosts
from .result import Energy, Level, SimulationResult
from .search import Objective
from .simulate import make_setup, simulate
from .technology import Technology
from .vector import layer_work

Kind = Literal["fp-int", "attention", "vector"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One part of a model, all layers."""

    name: str
    kind: Kind
    operations: int
    """Multiply-accumulates; lane operations of the vector unit."""
    cycles: int
    dram_bytes: int
    energy_pj: Energy


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A model on a machine."""

    model: str
    architecture: str
    level: Level
    rows: tuple[ModelRow, ...]
    seconds: float
    gemms: SimulationResult
    """The FP-INT GeMMs in detail."""

    @property
    def cycles(self) -> int:
        """Of all parts, one after the other."""
        return sum(row.cycles for row in self.rows)

    @property
    def energy_pj(self) -> Energy:
        """Of all parts."""
        parts = [row.energy_pj for row in self.rows]
        return Energy(
            *(math.fsum(values) for values in zip(*((e.compute, e.sram, e.dram) for e in parts), strict=True))
        )

    @property
    def fp_int_share(self) -> float:
        """Multiply-accumulates of the FP-INT GeMMs over those of the model (Fig. 2 of the Anda paper)."""
        macs = [row for row in self.rows if row.kind != "vector"]
        return sum(row.operations for row in macs if row.kind == "fp-int") / sum(row.operations for row in macs)

    def cycle_share(self, kind: Kind) -> float:
        """Cycles of one kind of part over all."""
        return sum(row.cycles for row in self.rows if row.kind == kind) / self.cycles

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, for JSON."""
        return {
            "model": self.model,
            "arch": self.architecture,
            "level": self.level,
            "cycles": self.cycles,
            "seconds": self.seconds,
            "fp_int_share": self.fp_int_share,
            "energy_pj": self.energy_pj.to_dict(),
            "rows": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "operations": row.operations,
                    "cycles": row.cycles,
                    "dram_bytes": row.dram_bytes,
                    "energy_pj": row.energy_pj.to_dict(),
                }
                for row in self.rows
            ],
        }


def simulate_model(
    shape: ModelShape,
    architecture: str | Path | Architecture,
    precision: Precision,
    phase: str = "prefill",
    tokens: int = 2048,
    context: int = 0,
    batch: int = 1,
    kv_cache: str = "fp16",
    level: Level = "closed",
    technology: str | Path | Technology = "paper-16nm",
    objective: Objective = "energy",
    tiling: str = "search",
    memory: str | Path = "flat",
    weights: str | Path | None = None,
) -> ModelResult:
    """Time a whole model.

    Args:
        shape: the model.
        architecture, precision, level, technology, objective, tiling, memory, weights: as of `simulate`.
        phase: ``"prefill"`` is one pass over `tokens`; ``"decode"`` is `tokens` steps of one token.
        tokens: of each sequence.
        context: tokens of each sequence that are cached already.
        batch: sequences that run together.
        kv_cache: ``"fp16"``, or ``"anda:M"`` for keys, values and attention at M mantissa bits.

    Raises:
        InputError: as of `simulate`; no sequence; an unknown cache format.
    """
    if batch < 1:
        raise InputError(f"batch: is {batch}; give at least 1")
    setup = make_setup(architecture, level, technology, objective, tiling, memory, weights)
    cache = KvCache.parse(kv_cache, setup.machine)
    work = [replace(gemm, tokens=gemm.tokens * batch) for gemm in gemms(shape, phase, tokens, context)]
    cache_bits = cache.mantissa_bits if cache.format == "anda" else None
    fp_int = simulate(
        work, setup.machine, precision, level, setup.process, objective, tiling, memory, cache_bits=cache_bits
    )
    steps = [(tokens, context)] if phase == "prefill" else [(1, context + step) for step in range(tokens)]
    output_bits = setup.machine.precision(precision).o
    attention = [attention_work(shape, setup.machine, cache, new, old, batch, output_bits) for new, old in steps]
    rows = (
        *_fp_int_rows(fp_int),
        _attention_row(shape, attention, setup.costs),
        *_vector_rows(shape, attention, batch * tokens, setup.machine, setup.costs),
    )
    return ModelResult(
        model=shape.name,
        architecture=setup.machine.name,
        level=level,
        rows=rows,
        seconds=sum(row.cycles for row in rows) / setup.machine.clock_hz,
        gemms=fp_int,
    )


def _fp_int_rows(result: SimulationResult) -> Iterator[ModelRow]:
    for run in result.runs:
        repeat, energy = run.gemm.repeat, run.energy_pj
        yield ModelRow(
            name=run.gemm.module,
            kind="fp-int",
            operations=run.gemm.total_macs,
            cycles=run.cycles * repeat,
            dram_bytes=-(-run.traffic.dram_bits // 8) * repeat,
            energy_pj=Energy(energy.compute * repeat, energy.sram * repeat, energy.dram * repeat),
        )


def _attention_row(shape: ModelShape, steps: list[AttentionWork], costs: UnitCosts) -> ModelRow:
    cycles = [math.ceil(max(w.array_cycles, w.dram_bits / costs.dram_bits_per_cycle)) for w in steps]
    dram_bits = shape.layers * sum(work.dram_bits for work in steps)
    compute = (costs.compute_pj(work.element_cycles, work.array_cycles) for work in steps)
    sram = (costs.sram_pj(work.sram, taken) for work, taken in zip(steps, cycles, strict=True))
    return ModelRow(
        name="attention",
        kind="attention",
        operations=shape.layers * sum(work.macs for work in steps),
        cycles=shape.layers * sum(cycles),
        dram_bytes=-(-dram_bits // 8),
        energy_pj=Energy(
            compute=shape.layers * math.fsum(compute),
            sram=shape.layers * math.fsum(sram),
            dram=dram_bits * costs.dram_pj_per_bit,
        ),
    )


def _vector_rows(
    shape: ModelShape, steps: list[AttentionWork], tokens: int, machine: Architecture, costs: UnitCosts
) -> Iterator[ModelRow]:
    rows, scores = sum(work.rows for work in steps), sum(work.scores for work in steps)
    for work in layer_work(shape, tokens, rows, scores):
        operations = work.operations * shape.layers
        cycles = -(-operations // machine.vector_lanes)
        yield ModelRow(
            name=work.name,
            kind="vector",
            operations=operations,
            cycles=cycles,
            dram_bytes=0,
            energy_pj=Energy(operations * costs.vector_pj_per_operation, cycles * costs.sram.leakage_pj_per_cycle, 0.0),
        )

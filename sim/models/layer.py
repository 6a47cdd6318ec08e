"""Attention and vector unit of equal layers, at level `analytical` or in events.

At level `analytical` the attention takes the longest of the array's work, its ports, DRAM traffic and softmax, and the other
work of the vector unit the longest of lanes, port and DRAM. At level `events` the softmax of one strip runs beside the array's
work on the next. Either way the row of the softmax has the cycles that the array waits for it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...formats.latency.vector import VECTOR_PIPELINE_CYCLES
from ...workloads import ModelShape
from ...workloads.models.gemms import FP16_BITS
from ..analytical.attention import AttentionWork, attention_pieces, attention_works, key_load_cycles
from ..analytical.busy import Busy, array_busy
from ..analytical.gemm import SramBits
from ..analytical.vector import layer_work, softmax_cycles, softmax_work
from ..analytical.vector_work import Scores, TokenBits, VectorUnit, VectorWork
from ..config.kv_cache import KvCache
from ..cost.energy import UnitCosts, Work
from ..mapping.mapped_gemm import SUM_BITS
from ..result import GemmRun
from ..setup import Setup
from .rows import ModelRow, add_rows, work_row


@dataclass(frozen=True)
class ModelLayer:
    """Equal layers of a model, and the setup of their run: the source of their attention and vector work."""

    shape: ModelShape
    """The model, with these layers alone."""
    setup: Setup
    cache: KvCache
    phase: str
    tokens: int
    context: int
    batch: int
    output_mantissa_bits: int
    unit: VectorUnit
    traffic: TokenBits | None
    """Traffic of the vector unit; None where it is not counted."""

    @property
    def contexts(self) -> range:
        """Cached tokens of each pass through the layer."""
        return range(self.context, self.context + (1 if self.phase == "prefill" else self.tokens))

    @property
    def pass_tokens(self) -> int:
        """New tokens of each sequence in one pass."""
        return self.tokens if self.phase == "prefill" else 1

    @cached_property
    def attention(self) -> list[AttentionWork]:
        """Attention of each pass."""
        return attention_works(
            self.shape,
            self.setup.machine,
            self.cache,
            self.pass_tokens,
            self.contexts,
            self.batch,
            self.output_mantissa_bits,
        )

    @cached_property
    def vector(self) -> list[list[VectorWork]]:
        """Vector work of all passes, a list of passes for each kind; a kind that is the same in all is one object."""
        first = self._vector(self.attention[0])
        if self.unit == "integer":
            return [list(kind) for kind in zip(first, *map(self._vector, self.attention[1:]), strict=True)]
        lanes = self.setup.machine.vector_lanes
        return [
            [softmax_work(_scores(one), lanes, self.shape.score_cap is not None) for one in self.attention]
            if work.name == "softmax"
            else [work] * len(self.attention)
            for work in first
        ]

    def _vector(self, attention: AttentionWork) -> list[VectorWork]:
        """Vector work of one pass."""
        tokens, scores = self.batch * self.pass_tokens, _scores(attention)
        works = layer_work(self.shape, tokens, scores, self.setup.machine.vector_lanes, self.unit)
        if self.traffic is None:
            return list(works)
        moved = [self.traffic.of(work.name) for work in works]
        return [
            replace(work, loads=tokens * loads, stores=tokens * stores)
            for work, (loads, stores) in zip(works, moved, strict=True)
        ]

    def attention_busy(self, work: AttentionWork) -> Busy:
        """Busy cycles of the array, its ports and DRAM in one pass."""
        machine = self.setup.machine
        element = machine.processing_element
        used, bits = self.cache.datapath_bits(machine), self.cache.operand_bits(machine)
        if machine.array.dataflow == "output-stationary":
            compute, stream = array_busy(element, used, bits + 1, key_load_cycles(machine), work.array_cycles)
        else:
            sums = 2 * work.sum_additions * SUM_BITS
            compute = work.busy_cycles
            stream = max(
                work.sram.weight_reads / machine.weight_buffer.port_bits, sums / machine.activation_buffer.port_bits
            )
        fills = (
            work.sram.weight_writes / machine.weight_buffer.port_bits,
            (work.dram_bits - work.sram.weight_writes) / machine.activation_buffer.port_bits,
        )
        return Busy(compute, work.dram_bits / self.setup.costs.dram_bits_per_cycle, max(stream, *fills))


def _scores(attention: AttentionWork) -> Scores:
    return Scores(attention.rows, attention.scores, attention.score_vectors)


def token_bits(shape: ModelShape, setup: Setup, cache: KvCache, runs: Iterable[GemmRun]) -> TokenBits:
    """Traffic of the vector unit for one token, from what the GeMMs of a layer load and store."""
    listed = list(runs)
    tokens = sum(run.gemm.tokens * run.gemm.repeat for run in listed if run.gemm.module == "o")
    inputs, results = Counter[str](), Counter[str]()
    for run in listed:
        times = run.gemm.tokens * run.gemm.repeat
        inputs[run.gemm.module] += times * run.mapped.token_bits
        results[run.gemm.module] += times * run.mapped.result_bits
    if shape.experts is not None:  # all experts of a token load the same input
        inputs["u"] = tokens * next(run.mapped.token_bits for run in listed if run.gemm.module == "u")
    return TokenBits(
        stream=shape.hidden * FP16_BITS,
        inputs={module: bits // tokens for module, bits in inputs.items()},
        results={module: bits // tokens for module, bits in results.items()},
        rotated=cache.stored(setup.machine).token_bits(shape.query_channels + shape.projected_kv_channels // 2),
        block_norms=shape.block_norms,
        parallel=shape.parallel,
        experts=shape.experts is not None,
    )


def layer_rows(layer: ModelLayer) -> tuple[ModelRow, ...]:
    """Rows of attention and vector unit, over all passes and layers."""
    one = _analytical if layer.setup.level == "analytical" else _events
    return add_rows(one(layer))


def _analytical(layer: ModelLayer) -> Iterator[ModelRow]:
    costs, port = layer.setup.costs, layer.setup.machine.activation_buffer.port_bits
    busy = [layer.attention_busy(work) for work in layer.attention]
    cycles = [_attention_cycles(work, one, costs) for work, one in zip(layer.attention, busy, strict=True)]
    yield _attention_row(layer, layer.attention, busy, sum(cycles))
    for works in layer.vector:
        distinct = works[:1] if works[0] is works[-1] else works
        busy = [work.busy(port, costs.dram_bits_per_cycle) for work in distinct]
        if works[0].name == "softmax":
            taken = [max(work.cycles - other, 0) for work, other in zip(works, cycles, strict=True)]
        else:
            taken = [math.ceil(one.longest) + VECTOR_PIPELINE_CYCLES for one in busy]
        times = len(works) // len(distinct)
        yield _vector_row(layer, distinct, busy, sum(taken), times)


def _attention_cycles(work: AttentionWork, busy: Busy, costs: UnitCosts) -> int:
    """Cycles of the attention without its softmax; with an infinitely fast memory the ports take no time either."""
    port = 0.0 if math.isinf(costs.dram_bits_per_cycle) else busy.sram_port
    return math.ceil(max(work.array_cycles, busy.dram, port))


def _events(layer: ModelLayer) -> Iterator[ModelRow]:
    from ..events.attention import run_attention
    from ..events.vector import run_vector

    machine, timeline, costs = layer.setup.machine, layer.setup.timeline, layer.setup.costs
    capped = layer.shape.score_cap is not None
    softmax = softmax_cycles(layer.unit, machine.vector_lanes, capped)
    port = machine.activation_buffer.port_bits
    taken: dict[tuple[str, int, int], int] = {}
    for context, attention, *works in zip(layer.contexts, layer.attention, *layer.vector, strict=True):
        pieces = attention_pieces(
            layer.shape, machine, layer.cache, layer.pass_tokens, context, layer.batch, layer.output_mantissa_bits
        )
        run = run_attention(pieces, machine, layer.setup.dram(), softmax, timeline)
        if timeline:
            timeline.finish("attention", run.cycles)
        yield _attention_row(layer, [attention], [layer.attention_busy(attention)], run.cycles - run.softmax_cycles)
        for work in works:
            busy = [work.busy(port, costs.dram_bits_per_cycle)]
            if work.name == "softmax":
                yield _vector_row(layer, [work], busy, run.softmax_cycles)
                continue
            key = work.name, work.cycles, work.values  # most work is the same in all passes
            if key not in taken:
                tokens = layer.batch * layer.pass_tokens
                taken[key] = run_vector(work, tokens, machine, layer.setup.dram(), timeline)
                if timeline:
                    timeline.finish(work.name, taken[key])
            yield _vector_row(layer, [work], busy, taken[key])


def _attention_row(layer: ModelLayer, passes: Sequence[AttentionWork], busy: Iterable[Busy], cycles: int) -> ModelRow:
    layers, machine = layer.shape.layers, layer.setup.machine
    lanes = machine.array.elements * machine.group_size
    work = Work(
        element_cycles=layers * sum(one.element_cycles for one in passes),
        used_cycles=layers * sum(one.products * one.element_cycles / one.groups for one in passes) / lanes,
        busy_cycles=layers * sum(one.busy_cycles for one in passes),
        array_cycles=layers * sum(one.array_cycles for one in passes),
        sum_additions=layers * sum(one.sum_additions for one in passes),
        sram=sum((one.sram for one in passes), SramBits()) * layers,
        dram_bits=layers * sum(one.dram_bits for one in passes),
    )
    return work_row(
        "attention",
        "attention",
        layers * cycles,
        work,
        sum(busy, Busy()) * layers,
        layer.setup.costs,
        operations=layers * sum(one.macs for one in passes),
        groups=layers * sum(one.groups for one in passes),
    )


def _vector_row(
    layer: ModelLayer, passes: Sequence[VectorWork], busy: Iterable[Busy], cycles: int, times: int = 1
) -> ModelRow:
    return vector_row(passes, sum(busy, Busy()), cycles, layer.setup.costs, times * layer.shape.layers)


def vector_row(passes: Sequence[VectorWork], busy: Busy, cycles: int, costs: UnitCosts, times: int = 1) -> ModelRow:
    """The row of one kind of vector work in some passes, `times` over; busy and other cycles are those of one time."""
    name = passes[0].name
    kinds = passes[0].operations
    work = Work(
        operations={kind: times * sum(one.operations[kind] for one in passes) for kind in kinds},
        sram=sum((one.sram for one in passes), SramBits()) * times,
        dram_bits=times * sum(one.dram_bits for one in passes),
    )
    return work_row(
        name,
        "vector",
        times * cycles,
        work,
        busy * times,
        costs,
        operations=times * sum(one.total for one in passes),
        unit_cycles=times * sum(one.cycles for one in passes),
    )

"""The ends of a model: embedding, final norm and language-model head.

The embedding fetches a row of its table for each token. Final norm and head compute the logits of the last token of each sequence
in a pass, which is all that generation needs. The head is a GeMM on the same array. Its weights are FP16 unless told otherwise,
since weight-only quantisation (arXiv 2411.15982 and the methods that it uses) leaves it alone. An array of integers takes a FP16
weight as it takes a FP16 key in the attention: with 11 mantissa bits, in three 4-bit digits. Embedding and final norm take what
the formulas say at every level.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...formats.latency.vector import VECTOR_PIPELINE_CYCLES
from ...formats.numeric.alignment import SIGNIFICAND_BITS
from ...formats.weights.int4 import BITS as INT4_BITS
from ...workloads import Gemm, ModelShape, Precision
from ...workloads.models.gemms import FP16_BITS
from ..analytical.busy import Busy
from ..analytical.gemm import SramBits
from ..analytical.vector import logit_cap_work, norm_work
from ..analytical.vector_work import VectorUnit
from ..config.weights import WeightConfig, load_weights
from ..cost.energy import Work
from ..mapping.mapped_gemm import HEAD
from ..mapping.mapping_rule import MappingRule
from ..result import GemmRun
from ..run import run_gemms
from ..setup import Setup
from .layer import vector_row
from .rows import ModelRow, gemm_row, work_row

NO_HEAD = "none"
"""Leaves out embedding, final norm and head: the published scope."""

ANY_PRECISION = Precision.uniform(SIGNIFICAND_BITS)
"""The head has a precision of its own (`head_mantissa_bits`)."""


def head_weights(name: str | Path | WeightConfig) -> WeightConfig | None:
    """The weight format of the head; None for no head."""
    return None if name == NO_HEAD else load_weights(name)


def with_side_unit(setup: Setup, weights: WeightConfig | None) -> Setup:
    """The machine with the lanes for sparse weights that the head needs, if its other weights need fewer."""
    lanes = weights.sparse_lanes if weights is not None and weights.sparse_fraction else 0
    idle = setup.costs.idle
    if lanes <= idle.side_lanes:
        return setup
    return replace(setup, costs=replace(setup.costs, idle=replace(idle, side_lanes=lanes)))


def head_run(shape: ModelShape, setup: Setup, weights: WeightConfig, rows: int, passes: int) -> GemmRun:
    """The head as a GeMM of `rows` tokens, in each of some passes."""
    return own_weights_run(Gemm(HEAD, rows, shape.hidden, shape.vocabulary, repeat=passes), setup, weights)


def own_weights_run(product: Gemm, setup: Setup, weights: WeightConfig) -> GemmRun:
    """A GeMM with a weight format of its own, and its best mapping; at level `cycle` in events."""
    if weights.is_fp16 and setup.machine.processing_element.weight_operand == "int":
        weights = weights.model_copy(update={"digits": -(-(SIGNIFICAND_BITS + 1) // INT4_BITS)})
    machine = setup.machine.model_copy(update={"weights": weights})
    level = "events" if setup.level == "cycle" else setup.level
    own = replace(setup, machine=machine, level=level, group_cycles=None, mapping=MappingRule())
    return run_gemms([product], own, ANY_PRECISION).runs[0]


def end_rows(
    shape: ModelShape, setup: Setup, head: GemmRun, tokens: int, passes: int, unit: VectorUnit, traffic: bool
) -> Iterator[ModelRow]:
    """Rows of embedding, final norm and head over some passes.

    Parameters
    ----------
    shape
        The model.
    setup
        The machine.
    head
        The head's run.
    tokens
        Tokens of all sequences in one pass.
    passes
        Passes through the model.
    unit
        Arithmetic of the vector unit.
    traffic
        True if the traffic of the vector unit is counted: the residual stream and the head's input.
    """
    stream = shape.hidden * FP16_BITS
    loads, stores = tokens * stream * (2 if shape.learned_positions else 1), tokens * stream * traffic
    costs, port = setup.costs, setup.machine.activation_buffer.port_bits
    bits = loads + stores
    busy = Busy(dram=bits / costs.dram_bits_per_cycle, sram_port=bits / port) * passes
    sram = SramBits(passes * stores, passes * loads)
    cycles = passes * math.ceil(max(bits / costs.dram_bits_per_cycle, bits / port))
    yield work_row("embedding", "embedding", cycles, Work(sram=sram, dram_bits=passes * bits), busy, costs)
    rows = head.gemm.tokens
    norm = norm_work("final norm", shape, rows, setup.machine.vector_lanes, unit)
    if traffic:
        norm = replace(norm, loads=rows * stream, stores=rows * head.mapped.token_bits)
    busy = norm.busy(port, costs.dram_bits_per_cycle)
    taken = math.ceil(busy.longest) + VECTOR_PIPELINE_CYCLES
    yield vector_row([norm], busy, taken, costs, passes)
    yield gemm_row(head, costs, "head")
    if shape.logit_cap is None:
        return
    cap = logit_cap_work(shape, rows, setup.machine.vector_lanes)
    if traffic:
        outputs = rows * shape.vocabulary * FP16_BITS
        cap = replace(cap, loads=outputs, stores=outputs)
    busy = cap.busy(port, costs.dram_bits_per_cycle)
    yield vector_row([cap], busy, math.ceil(busy.longest) + VECTOR_PIPELINE_CYCLES, costs, passes)

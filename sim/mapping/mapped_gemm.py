"""One GeMM mapped onto an architecture: tiles of the array, cycles of a tile, bits of a token, a channel and a result."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...formats import InputError
from ...formats.activations.stored import FP16, StoredFormat
from ...formats.checks import check_choice, check_integer, check_number
from ...formats.latency.array import array_cycles, bpc_cycles, drain_cycles, fold_cycles, start_cycles
from ...formats.latency.elements import pe_cycles_per_group
from ...formats.numeric.alignment import SIGNIFICAND_BITS
from ...workloads import MODULES, Gemm, Precision
from ..config.architecture import Architecture
from ..dataflow.base import ArrayTile, Dataflow
from ..dataflow.registry import dataflow_of

CONSUMER = {"o": "u", "u": "d", "d": "qkv"}
"""The module that takes a module's results as input, and so sets the mantissa length to which they are compressed.

Residual additions, norms and activation functions happen in the vector unit before compression. The results of ``qkv`` go
to the attention and the KV cache, in FP16 or at the precision of the cache.
"""


SUM_BITS = 32
"""Bits of a partial sum: FP32, as in the accumulators, so that saving and restoring it changes no bit of a result."""

HEAD = "head"
"""The language-model head: a GeMM whose results stay FP16, at a precision of its own (`head_mantissa_bits`)."""


ROUTER = "router"
"""The router of a mixture of experts: as the head, in FP16."""
OWN_PRECISION = (HEAD, ROUTER)
"""Modules that the precision of a block's modules leaves alone."""


def head_mantissa_bits(architecture: Architecture) -> int:
    """Mantissa bits of the head's activations: where they are variable, 11 keep the largest value of a group exact."""
    if architecture.takes_precision:
        return SIGNIFICAND_BITS
    return architecture.operand_bits(architecture.stored(1))


@dataclass(frozen=True)
class MappedGemm:
    """The product ``[tokens, in_channels] @ [in_channels, out_channels]`` on one architecture."""

    architecture: Architecture
    tokens: int
    in_channels: int
    out_channels: int
    inputs: StoredFormat
    """Format of the stored activations."""
    results: StoredFormat
    """Format of the stored results."""
    mantissa_bits: int
    """M of the datapath."""
    groups: int
    """Groups of channels in the reduction; a short last group takes as long as the others."""
    row_tiles: int
    """Tiles of the array along the tokens."""
    column_tiles: int
    """Tiles of the array along the output channels."""
    group_cycles: float
    """Cycles of the array for one group; a mean if all-zero planes are skipped."""
    skips: bool
    """True if all-zero planes are skipped."""
    token_bits: int
    """Stored bits of one token's activations."""
    channel_bits: int
    """Stored bits of one output channel's weights."""
    result_bits: int
    """Stored bits of one token's results."""

    @property
    def dataflow(self) -> Dataflow:
        """Dataflow of the architecture's array."""
        return dataflow_of(self.architecture.array)

    @cached_property
    def tile(self) -> ArrayTile:
        """Tokens, groups and output channels that the array takes at once."""
        return self.dataflow.tile(self.architecture.array)

    @property
    def holds_outputs(self) -> bool:
        """True for an output-stationary array."""
        return self.dataflow.held == "results"

    @cached_property
    def group_tiles(self) -> int:
        """Tiles of the array along the reduction."""
        return -(-self.groups // self.tile.groups)

    @cached_property
    def datapath_bits(self) -> int:
        """`mantissa_bits` that set the element's cycles."""
        return self.architecture.datapath_bits(self.inputs)

    @property
    def result_mantissa_bits(self) -> int | None:
        """M to which the results are compressed; None if they are stored as the array gives them."""
        return self.results.mantissa_bits if self.results.needs_compressor else None

    @property
    def result_group(self) -> int:
        """Channels of results that are complete together: groups of the array in whole groups of the format."""
        return math.lcm(self.architecture.group_size, self.results.group_size)

    @cached_property
    def tiles(self) -> int:
        """Number of tiles of the array in tokens and output channels."""
        return self.row_tiles * self.column_tiles

    @cached_property
    def folds(self) -> int:
        """Times that the elements are filled with a new part of the operand that they hold, if each part comes once."""
        return self.group_tiles * (self.column_tiles if self.dataflow.held == "weights" else self.row_tiles)

    @cached_property
    def fold_steps(self) -> int:
        """Steps of the array in a fold: all tokens, or all output channels."""
        return self.row_tiles if self.dataflow.held == "weights" else self.column_tiles

    @cached_property
    def fill_cycles(self) -> int:
        """Cycles of a fold beside its steps: the operand enters the elements, and the last sum passes all rows."""
        preload = self.dataflow.preload_cycles(self.architecture, self.inputs)
        return fold_cycles(0, 0, self.architecture.array.rows, preload)

    @cached_property
    def step_cycles(self) -> int:
        """Cycles of a step of an array that holds an operand; its sums pass the port of the activation buffer in and out."""
        array, port = self.architecture.array, self.architecture.activation_buffer.port_bits
        sums = array.columns * array.count * SUM_BITS if self.group_tiles > 1 else 0
        return max(int(self.group_cycles), -(-2 * sums // port))

    @cached_property
    def reduction_cycles(self) -> int:
        """Cycles of one tile: its groups in the array, or its sparse weights in the side unit if these take longer."""
        return max(self.dense_cycles(self.groups), self.sparse_cycles)

    def dense_cycles(self, groups: int) -> int:
        """Cycles of the array for the first groups of a tile."""
        return math.ceil(groups * self.group_cycles)

    @cached_property
    def part_spacing_cycles(self) -> int:
        """Least cycles from one tile of the array to the next where a reduction is in parts and sums go to the buffer.

        The outputs of the tile before leave, one column a cycle; sums of a whole tile pass the buffer's port in and out.
        """
        array, port = self.architecture.array, self.architecture.activation_buffer.port_bits
        return max(self.drain_cycles, -(-2 * array.elements * SUM_BITS // port))

    def part_cycles(self, groups: Any) -> Any:
        """Cycles of the array for a part of a tile's reduction, alone; for one number of groups or an array of them."""
        sparse = -(-groups * self.sparse_cycles // self.groups)
        if isinstance(groups, int):
            return max(math.ceil(groups * self.group_cycles), sparse)
        return np.maximum(np.ceil(groups * self.group_cycles), sparse).astype(np.int64)

    def parts_cycles(self, in_channels: Any) -> tuple[Any, Any]:
        """Cycles of all tiles, in parts of so many input channels each; for one number of channels or an array of them.

        Cycles from the first plane to the last if no operand is late, and those of them in which the array works.
        """
        size = -(-in_channels // self.architecture.group_size)
        count = -(-self.groups // size)
        first, last = self.part_cycles(size), self.part_cycles(self.groups - (count - 1) * size)
        least, largest = self.part_spacing_cycles, max if isinstance(size, int) else np.maximum
        spaced, spaced_last = largest(first, least), largest(last, least)
        cycles = self.tiles * ((count - 1) * spaced + spaced_last) - (spaced - first)
        return cycles, self.tiles * ((count - 1) * first + last)

    @cached_property
    def read_share(self) -> float:
        """Share of the stored planes, signs included, that is read and sent to the array."""
        planes = pe_cycles_per_group(self.datapath_bits) * self.architecture.weight_digits
        return min(self.group_cycles / planes, 1.0) if self.skips else 1.0

    @cached_property
    def sparse_products(self) -> int:
        """Products of the side unit for a whole tile."""
        return self.architecture.array.elements * self.architecture.weights.sparse_weights(self.in_channels)

    @cached_property
    def sparse_cycles(self) -> int:
        """Cycles of the side unit for one tile."""
        return -(-self.sparse_products // self.architecture.weights.sparse_lanes)

    def stored_result_bits(self, channels: int) -> int:
        """Stored bits of one token's first `channels` results, its share of the masks included."""
        return _stored_bits(self.results, channels, self.architecture, self.skips)

    @cached_property
    def drain_cycles(self) -> int:
        """Cycles from a tile's last plane until its last column of outputs has left the array."""
        midpoint = self.architecture.processing_element.midpoint
        return drain_cycles(self.dataflow.leaving_columns(self.architecture.array), midpoint=midpoint)

    @cached_property
    def tile_cycles(self) -> int:
        """Cycles from one tile to the next: its groups, or the previous tile's outputs if these take longer."""
        return max(self.reduction_cycles, self.drain_cycles)

    @cached_property
    def array_cycles(self) -> int:
        """Cycles from the first plane to the last plane of all tiles if no operand is late.

        Where the elements hold an operand, each part of it enters them once; a mapping may need more (`folds.array_cycles`).
        """
        if self.holds_outputs:
            return array_cycles(self.tiles, self.reduction_cycles, self.drain_cycles)
        return self.folds * (self.fill_cycles + self.fold_steps * self.step_cycles)

    @cached_property
    def collect_cycles(self) -> int:
        """Cycles from the last plane of a tile until its outputs are collected."""
        return self.drain_cycles - 1

    @cached_property
    def start_cycles(self) -> int:
        """Cycles from the command until the first group's weights are dispatched and its first plane enters."""
        return start_cycles(self.architecture.weight_load_cycles if self.holds_outputs else 0)

    @cached_property
    def compress_cycles(self) -> int:
        """Cycles that the compressor adds for the groups of all rows; 0 if results stay FP16."""
        bits = self.result_mantissa_bits
        return 0 if bits is None else bpc_cycles(1, bits, self.tile.tokens) - self._sending

    @property
    def _sending(self) -> int:
        """Cycles in which the collector sends a group of each token of a tile."""
        return self.tile.tokens

    @cached_property
    def element_cycles(self) -> int:
        """Cycles in which the elements work at their published power; waiting for weights or memory does not count."""
        return self._element_cycles(self.read_share)

    @cached_property
    def used_share(self) -> float:
        """Share of the array's lanes that hold a channel of a token and an output channel, over all tiles."""
        places = self.tiles * self.architecture.array.elements * self.group_tiles * self.architecture.group_size
        return self.tokens * self.in_channels * self.out_channels / places

    @cached_property
    def busy_cycles(self) -> int:
        """Cycles in which the elements work, whatever their power is stated for."""
        element, weights = self.architecture.processing_element, self.architecture.weights
        cycles = element.working_cycles(self.datapath_bits, weights.value_bits) * self.architecture.weight_digits
        groups = self.group_tiles
        return self.tiles * min(math.ceil(groups * cycles * self.read_share), self.dense_cycles(groups))

    @cached_property
    def skipped_cycles(self) -> int:
        """Cycles of the elements that zero-plane skipping saves."""
        return self._element_cycles(1.0) - self.element_cycles

    def _element_cycles(self, share: float) -> int:
        element, weights = self.architecture.processing_element, self.architecture.weights
        per_pass = element.element_cycles(self.datapath_bits, weights.value_bits)
        return self.tiles * math.ceil(self.group_tiles * per_pass * share) * self.architecture.weight_digits

    @cached_property
    def tail_cycles(self) -> int:
        """Cycles from the end of the last tile until its results can be stored: outputs, collector, compressor.

        The last group does not wait for further weights, so with very short mantissas it takes fewer cycles.
        """
        element = self.architecture.processing_element
        idle = 0
        if element.timing == "bit-serial" and not self.skips and self.holds_outputs:
            digits = self.architecture.weight_digits
            sent = self.architecture.plane_cycles * pe_cycles_per_group(self.datapath_bits)
            idle = int(self.group_cycles) // digits - sent
        return self.collect_cycles - idle + 1 + self._sending + self.compress_cycles


def map_gemm(
    gemm: Gemm,
    architecture: Architecture,
    precision: Precision,
    cached: StoredFormat = FP16,
    group_cycles: Mapping[str, float] | None = None,
) -> MappedGemm:
    """Map a GeMM onto an architecture.

    Parameters
    ----------
    gemm
        The product; its `repeat` is ignored.
    architecture
        The machine.
    precision
        Mantissa bits of the modules (`Architecture.precision`).
    cached
        Format in which the attention takes the results of ``qkv``.
    group_cycles
        Mean cycles of a group, by module, if all-zero planes are skipped: those of
        `formats.anda.plane_mask.mean_group_cycles`. None skips no planes.

    Raises
    ------
    InputError
        The module is neither one of the four whose weights are INT4 nor the head, a size is not positive, or cycles of a
        group are given that the array cannot take.
    """
    check_choice("gemm.module", gemm.module, (*MODULES, *OWN_PRECISION))
    for field in ("tokens", "in_channels", "out_channels", "repeat"):
        check_integer(f"gemm.{field}", getattr(gemm, field), 1)
    array = architecture.array
    dataflow = dataflow_of(array)
    tile = dataflow.tile(array)
    _check_dataflow(architecture, group_cycles)
    own, skips = gemm.module in OWN_PRECISION, group_cycles is not None
    inputs = architecture.stored(head_mantissa_bits(architecture) if own else getattr(precision, gemm.module))
    results = cached if gemm.module == "qkv" else FP16
    if gemm.module in CONSUMER:
        results = architecture.stored(getattr(precision, CONSUMER[gemm.module]))
    full = dataflow.step_cycles(architecture, inputs)
    mean = full if group_cycles is None else _checked_cycles(gemm.module, group_cycles, architecture, inputs, full)
    return MappedGemm(
        architecture=architecture,
        tokens=gemm.tokens,
        in_channels=gemm.in_channels,
        out_channels=gemm.out_channels,
        inputs=inputs,
        results=results,
        mantissa_bits=architecture.operand_bits(inputs),
        groups=-(-gemm.in_channels // architecture.group_size),
        row_tiles=-(-gemm.tokens // tile.tokens),
        column_tiles=-(-gemm.out_channels // tile.channels),
        group_cycles=mean * architecture.weight_digits,
        skips=skips,
        token_bits=_stored_bits(inputs, gemm.in_channels, architecture, skips),
        channel_bits=architecture.weights.channel_bits(gemm.in_channels),
        result_bits=_stored_bits(results, gemm.out_channels, architecture, skips),
    )


def _check_dataflow(architecture: Architecture, group_cycles: Mapping[str, float] | None) -> None:
    """Check that an array which holds an operand has neither sparse weights nor skipped planes."""
    name = architecture.array.dataflow
    if name == "output-stationary":
        return
    if architecture.weights.sparse_fraction:
        raise InputError(
            f"weights: the side unit of {architecture.weights.name} adds to outputs in the array, and a {name} one holds none; "
            "use weights without a sparse part, or dataflow output-stationary"
        )
    if group_cycles is not None:
        raise InputError(
            f"group_cycles: they are of planes that {name} arrays do not share between tokens; leave them out, or use "
            "dataflow output-stationary"
        )


def _checked_cycles(
    module: str, group_cycles: Mapping[str, float], architecture: Architecture, inputs: StoredFormat, full: int
) -> float:
    """Check a module's mean cycles of a group, which lie between those of one plane and those of all planes."""
    if architecture.processing_element.timing != "bit-serial" or not inputs.bit_planes:
        raise InputError(f"group_cycles: {architecture.name} has no planes to skip; leave them out")
    if module not in group_cycles:
        raise InputError(f"group_cycles: {module} is missing; give one for each module")
    one_plane = replace(inputs, cycles=pe_cycles_per_group(1))
    least = dataflow_of(architecture.array).step_cycles(architecture, one_plane)
    return check_number(f"group_cycles.{module}", group_cycles[module], least, full)


def _stored_bits(stored: StoredFormat, channels: int, architecture: Architecture, skips: bool) -> int:
    """Bits of one token; where planes are skipped with its share of the masks that mark the planes to send.

    A block of tokens shares a mask, without plane one.
    """
    bits: int = stored.token_bits(channels)
    if not skips or not stored.bit_planes:
        return bits
    groups = -(-channels // architecture.group_size)
    return bits - (-groups * (stored.mantissa_bits - 1) // architecture.array.rows)

"""Compiler: shapes of one GeMM or a chain of GeMMs to a program and a memory map.

In a chain, the tensors between two GeMMs stay on chip, compressed. Tokens are processed in chunks of as many blocks as
fit. For each chunk and GeMM, the weights are loaded strip by strip (a strip holds the weights of `lanes` output
channels). While the array computes with one strip, the next one is loaded and the results of the last one leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..checks import check_integer
from ..errors import InputError
from ..latency.array import WEIGHT_LOAD_CYCLES
from .config import AcceleratorConfig
from .instructions import BLOCKS_BITS, GROUPS_BITS, Buffer, Instruction, Opcode, Unit, barrier, instruction


@dataclass(frozen=True)
class Layer:
    """A GeMM of a chain: ``[tokens, channels]`` times ``[channels, outputs]``."""

    channels: int
    outputs: int
    mantissa_bits: int
    """M of the activations."""
    groups_per_factor: int = 1
    """Number of groups of `lanes` channels that share a scale."""
    unsigned_codes: bool = False


@dataclass(frozen=True)
class Region:
    """Place in memory for rows of a buffer."""

    buffer: Buffer
    memory: int
    """First row of memory."""
    rows: int
    """Number of rows of the buffer."""


@dataclass(frozen=True)
class Chunk:
    """Blocks of tokens that are processed together, with their inputs and outputs in memory."""

    first_block: int
    blocks: int
    activations: tuple[Region, Region]
    """Planes and exponents."""
    outputs: tuple[Region, ...]
    """Planes and exponents, or the FP16 results of each strip."""


@dataclass(frozen=True)
class Schedule:
    """A program and its memory map."""

    machine: AcceleratorConfig
    tokens: int
    layers: tuple[Layer, ...]
    result_mantissa_bits: int | None
    """M to which the outputs are compressed; None if they stay FP16."""
    instructions: tuple[Instruction, ...]
    chunks: tuple[Chunk, ...]
    weights: tuple[tuple[tuple[Region, Region], ...], ...]
    """Codes and factors of each strip of each layer."""
    memory_rows: int


def schedule(
    machine: AcceleratorConfig, tokens: int, layers: Sequence[Layer], result_mantissa_bits: int | None = None
) -> Schedule:
    """Compile a chain of GeMMs.

    Parameters
    ----------
    machine
        Accelerator that runs the program.
    tokens
        Rows of the first layer's activations.
    layers
        The GeMMs. The outputs of each are the channels of the next, compressed to its M.
    result_mantissa_bits
        M of the last outputs, if they are compressed; None leaves them FP16.

    Raises
    ------
    InputError
        The shapes do not fit each other or the machine.
    """
    _check(machine, tokens, layers, result_mantissa_bits)
    return _Scheduler(machine, tokens, tuple(layers), result_mantissa_bits).run()


def _check(machine: AcceleratorConfig, tokens: int, layers: Sequence[Layer], result_mantissa_bits: int | None) -> None:
    if not layers:
        raise InputError("layers: is empty; give at least one GeMM")
    sizes = {"tokens": tokens}
    for layer in layers:
        sizes |= {"channels": layer.channels, "outputs": layer.outputs, "groups_per_factor": layer.groups_per_factor}
        for name, size in sizes.items():
            check_integer(name, size, 1)
    for layer, after in pairwise(layers):
        if layer.outputs != after.channels:
            raise InputError(f"channels: are {after.channels} after {layer.outputs} outputs; give the same number")
    given = [layer.mantissa_bits for layer in layers]
    if result_mantissa_bits is not None:
        given.append(result_mantissa_bits)
    for mantissa_bits in given:
        check_integer("mantissa_bits", mantissa_bits, 1, machine.max_mantissa_bits)


@dataclass
class _Scheduler:
    machine: AcceleratorConfig
    tokens: int
    layers: tuple[Layer, ...]
    result_mantissa_bits: int | None
    program: list[Instruction] = field(default_factory=list[Instruction])
    memory_rows: int = 0

    def __post_init__(self) -> None:
        machine, lanes = self.machine, self.machine.lanes
        self.blocks = -(-self.tokens // machine.rows)
        # groups and M of each tensor along the chain
        self.tensors = [(-(-layer.channels // lanes), layer.mantissa_bits) for layer in self.layers]
        self.strips = [-(-layer.outputs // lanes) for layer in self.layers]
        if self.result_mantissa_bits is not None:
            self.tensors.append((self.strips[-1], self.result_mantissa_bits))
        self.chunk_blocks = self._blocks_at_once()
        self.slots = self._weight_slots()

    def run(self) -> Schedule:
        weights = tuple(self._place_weights(index) for index in range(len(self.layers)))
        chunks: list[Chunk] = []
        for first in range(0, self.blocks, self.chunk_blocks):
            blocks = min(self.chunk_blocks, self.blocks - first)
            chunks.append(Chunk(first, blocks, self._place_tensor(0, blocks), self._place_outputs(blocks)))
            self._run_chunk(chunks[-1], weights)
        self.program.append(instruction(Opcode.HALT))
        depth = self.machine.instruction_depth
        if len(self.program) > depth:
            raise InputError(
                f"instruction_depth: the program has {len(self.program)} instructions, the machine holds {depth}; "
                "give fewer tokens or output channels at a time"
            )
        return Schedule(
            self.machine,
            self.tokens,
            self.layers,
            self.result_mantissa_bits,
            tuple(self.program),
            tuple(chunks),
            weights,
            self.memory_rows,
        )

    # --- what fits on chip

    def _block_rows(self, buffer: Buffer, index: int) -> int:
        """Rows of a block of tokens of a tensor in the buffer of planes or of exponents."""
        groups, mantissa_bits = self.tensors[index]
        return groups * (mantissa_bits + 1) if buffer == Buffer.PLANES else groups

    def _area_rows(self, buffer: Buffer, parity: int) -> int:
        """Rows of a block in one of the two areas; tensors alternate between them."""
        return max((self._block_rows(buffer, index) for index in range(parity, len(self.tensors), 2)), default=0)

    def _blocks_at_once(self) -> int:
        machine = self.machine
        fitting = [(1 << BLOCKS_BITS) - 1, self.blocks]
        for buffer in (Buffer.PLANES, Buffer.EXPONENTS):
            needed = self._area_rows(buffer, 0) + self._area_rows(buffer, 1)
            self._require(buffer, needed, "a block of tokens")
            fitting.append(machine.depth(buffer) // needed)
        self._require(Buffer.RESULTS, 2 * machine.rows, "a block of tokens")
        fitting.append(machine.depth(Buffer.RESULTS) // (2 * machine.rows))
        return min(fitting)

    def _weight_slots(self) -> int:
        """2 if every strip fits into half of the buffers, so that the next one loads meanwhile; else 1."""
        slots = 2
        for layer, (groups, _) in zip(self.layers, self.tensors, strict=False):
            if groups >= 1 << GROUPS_BITS:
                limit = ((1 << GROUPS_BITS) - 1) * self.machine.lanes
                raise InputError(f"channels: are {layer.channels}; an instruction takes up to {limit}, split the GeMM")
            for buffer in (Buffer.WEIGHTS, Buffer.FACTORS):
                rows = self._strip_rows(buffer, layer)
                self._require(buffer, rows, "a strip of weights")
                if 2 * rows > self.machine.depth(buffer):
                    slots = 1
        return slots

    def _strip_rows(self, buffer: Buffer, layer: Layer) -> int:
        groups = -(-layer.channels // self.machine.lanes)
        rows = WEIGHT_LOAD_CYCLES * groups if buffer == Buffer.WEIGHTS else -(-groups // layer.groups_per_factor)
        return self.machine.tiles * rows

    def _require(self, buffer: Buffer, rows: int, what: str) -> None:
        depth = self.machine.depth(buffer)
        if rows > depth:
            name = buffer.name.lower()
            raise InputError(f"{name}: {what} needs {rows} rows, the machine has {depth}; split the GeMM")

    # --- where it lies in memory

    def _place(self, buffer: Buffer, rows: int) -> Region:
        region = Region(buffer, self.memory_rows, rows)
        self.memory_rows += self.machine.memory_rows(buffer, rows)
        return region

    def _place_weights(self, index: int) -> tuple[tuple[Region, Region], ...]:
        codes, factors = (self._strip_rows(buffer, self.layers[index]) for buffer in (Buffer.WEIGHTS, Buffer.FACTORS))
        return tuple(
            (self._place(Buffer.WEIGHTS, codes), self._place(Buffer.FACTORS, factors))
            for _ in range(self.strips[index])
        )

    def _place_tensor(self, index: int, blocks: int) -> tuple[Region, Region]:
        planes, exponents = (
            self._place(buffer, blocks * self._block_rows(buffer, index))
            for buffer in (Buffer.PLANES, Buffer.EXPONENTS)
        )
        return planes, exponents

    def _place_outputs(self, blocks: int) -> tuple[Region, ...]:
        if self.result_mantissa_bits is not None:
            return self._place_tensor(len(self.tensors) - 1, blocks)
        return tuple(self._place(Buffer.RESULTS, blocks * self.machine.rows) for _ in range(self.strips[-1]))

    # --- the program

    def _transfer(self, opcode: Opcode, region: Region, address: int) -> None:
        self.program.append(
            instruction(opcode, buffer=region.buffer, address=address, count=region.rows, memory=region.memory)
        )

    def _run_chunk(self, chunk: Chunk, weights: Sequence[Sequence[tuple[Region, Region]]]) -> None:
        if chunk.first_block:
            self.program.append(barrier(*Unit))
        for region in chunk.activations:
            self._transfer(Opcode.LOAD, region, 0)
        for index in range(len(self.layers)):
            self._run_layer(index, chunk, weights[index])
        if self.result_mantissa_bits is not None:
            self.program.append(barrier(Unit.COMPRESSOR))
            for region in chunk.outputs:
                self._transfer(Opcode.STORE, region, self._area(region.buffer, len(self.tensors) - 1))

    def _run_layer(self, index: int, chunk: Chunk, strips: Sequence[tuple[Region, Region]]) -> None:
        """One GeMM per strip; meanwhile the weights of the next and the results of the last strip move."""
        self._load_weights(strips, 0)
        self.program.append(barrier(*Unit))
        for strip in range(len(strips)):
            self._gemm(index, chunk.blocks, strip)
            if strip:
                self.program.append(barrier(Unit.MATRIX, pending=1))
            if self.slots == 2:
                self._load_weights(strips, strip + 1)
            if strip:
                self._hand_on(index, chunk, strip - 1)
            if self.slots == 1 and strip + 1 < len(strips):
                self.program.append(barrier(Unit.MATRIX))
                self._load_weights(strips, strip + 1)
            if strip + 1 < len(strips):
                self.program.append(barrier(Unit.LOADER, Unit.COMPRESSOR, Unit.STORER))
        self.program.append(barrier(Unit.MATRIX))
        self._hand_on(index, chunk, len(strips) - 1)

    def _slot(self, buffer: Buffer, strip: int) -> int:
        return strip % self.slots * (self.machine.depth(buffer) // 2)

    def _result_slot(self, strip: int) -> int:
        return strip % 2 * (self.machine.depth(Buffer.RESULTS) // 2)

    def _area(self, buffer: Buffer, index: int) -> int:
        """First row of a tensor in the buffer of planes or of exponents."""
        return index % 2 * self.chunk_blocks * self._area_rows(buffer, 0)

    def _load_weights(self, strips: Sequence[tuple[Region, Region]], strip: int) -> None:
        for region in strips[strip] if strip < len(strips) else ():
            self._transfer(Opcode.LOAD, region, self._slot(region.buffer, strip))

    def _gemm(self, index: int, blocks: int, strip: int) -> None:
        groups, mantissa_bits = self.tensors[index]
        self.program.append(
            instruction(
                Opcode.GEMM,
                planes=self._area(Buffer.PLANES, index),
                exponents=self._area(Buffer.EXPONENTS, index),
                weights=self._slot(Buffer.WEIGHTS, strip),
                factors=self._slot(Buffer.FACTORS, strip),
                results=self._result_slot(strip),
                groups=groups,
                output_groups=1,
                blocks=blocks,
                mantissa_bits=mantissa_bits,
                groups_per_factor=self.layers[index].groups_per_factor,
                unsigned_codes=int(self.layers[index].unsigned_codes),
            )
        )

    def _hand_on(self, index: int, chunk: Chunk, strip: int) -> None:
        """Compress the results of a strip for the next GeMM, or store them."""
        if index + 1 == len(self.tensors):
            self._transfer(Opcode.STORE, chunk.outputs[strip], self._result_slot(strip))
            return
        groups, mantissa_bits = self.tensors[index + 1]
        self.program.append(
            instruction(
                Opcode.COMPRESS,
                results=self._result_slot(strip),
                planes=self._area(Buffer.PLANES, index + 1) + strip * (mantissa_bits + 1),
                exponents=self._area(Buffer.EXPONENTS, index + 1) + strip,
                blocks=chunk.blocks,
                stride=groups,
                mantissa_bits=mantissa_bits,
            )
        )

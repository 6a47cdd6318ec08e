"""Memory that a model needs: weights, embedding, head, KV cache and activations, against the capacity of the DRAM."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

from ...formats import InputError
from ...formats.activations.stored import StoredFormat
from ...workloads import MODULES, ModelShape, Precision, gemms
from ...workloads.models.counts import matrices, router_weights, small_parameters
from ...workloads.models.gemms import FP16_BITS
from ..config.kv_cache import KvCache
from ..config.weights import WeightConfig
from ..mapping.mapped_gemm import map_gemm
from ..memory.hbm import load_memory
from ..setup import Setup


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of each part in DRAM."""

    weights: int
    """Weights of the GeMMs, with their scales, tables and sparse parts."""
    embedding: int
    """Token and position embeddings, norms and biases, in FP16."""
    head: int
    """The language-model head; 0 if it is the embedding table."""
    kv_cache: int
    """Keys and values of all tokens of all sequences."""
    activations: int
    """The residual stream, and the largest input and output of a part that are there at once."""

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return sum(self.to_dict().values())

    def to_dict(self) -> dict[str, int]:
        """The parts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(
        cls,
        shape: ModelShape,
        setup: Setup,
        precision: Precision | Sequence[Precision],
        cache: KvCache,
        head: WeightConfig | None,
        pass_tokens: int,
        cached_tokens: int,
        batch: int = 1,
    ) -> Self:
        """The memory of a model on a machine.

        Parameters
        ----------
        shape
            The model.
        setup
            The machine.
        precision
            Mantissa bits of the modules, or those of each layer.
        cache
            Format of keys and values.
        head
            Weight format of the head; None leaves out embedding and head.
        pass_tokens
            Most tokens of all sequences in one pass.
        cached_tokens
            Tokens of each sequence up to the last; a layer with a sliding window keeps fewer keys and values.
        batch
            Number of sequences.
        """
        machine = setup.machine
        largest = precision if isinstance(precision, Precision) else Precision(*map(max, zip(*precision, strict=True)))
        bits = sum(count * outs * machine.weights.channel_bits(ins) for ins, outs, count in matrices(shape))
        tied = shape.tied and head is not None and head.bits == FP16_BITS
        return cls(
            weights=(bits + router_weights(shape) * FP16_BITS) // 8,
            embedding=0 if head is None else _embedding_values(shape) * FP16_BITS // 8,
            head=0 if head is None or tied else shape.vocabulary * head.channel_bits(shape.hidden) // 8,
            kv_cache=kv_cache_bytes(shape, setup, cache, cached_tokens, batch),
            activations=pass_tokens * _token_bits(shape, setup, machine.precision(largest), cache) // 8,
        )


def kv_cache_bytes(shape: ModelShape, setup: Setup, cache: KvCache, tokens: int, batch: int = 1) -> int:
    """Bytes of the keys and values of sequences of some tokens, in all layers; windows and shared keys save some."""
    bits = cache.stored(setup.machine).token_bits(shape.head_dim)
    kept = sum(part.shape.layers * part.shape.cached_tokens(tokens) for part in shape.parts)
    return batch * kept * 2 * shape.kv_heads * bits // 8


def _embedding_values(shape: ModelShape) -> int:
    """Values of the tables of token and position embeddings, of norms and of biases."""
    positions = min(shape.position_rows, shape.max_length)  # further rows serve padding
    return (shape.vocabulary + positions) * shape.hidden + small_parameters(shape)


def _token_bits(shape: ModelShape, setup: Setup, precision: Precision, cache: KvCache) -> int:
    """Bits of one token's activations: the stream, and the most that a part holds of inputs and outputs."""
    cached = cache.stored(setup.machine)
    return shape.hidden * FP16_BITS + max(_held_bits(part.shape, setup, precision, cached) for part in shape.parts)


def _held_bits(shape: ModelShape, setup: Setup, precision: Precision, cached: StoredFormat) -> int:
    """Most bits of inputs and outputs of one token that a part of a layer holds; experts count as often as they compute it."""
    inputs, results = Counter[str](), Counter[str]()
    for gemm in gemms(shape.with_layers(1), tokens=1):
        mapped = map_gemm(gemm, setup.machine, precision, cached)
        inputs[gemm.module] += mapped.token_bits * gemm.repeat
        results[gemm.module] += mapped.result_bits * gemm.repeat
    pairs = [*((module, module) for module in MODULES), ("o", "qkv"), ("d", "u")]
    return max(inputs[one] + results[other] for one, other in pairs)


def capacity_bytes(setup: Setup) -> int | None:
    """Capacity of the DRAM: that of the memory's file, or of the memory that the technology names; None if unknown."""
    if setup.memory is not None:
        return setup.memory.capacity_bytes
    behind = setup.process.dram.memory
    return None if behind is None else load_memory(behind).capacity_bytes


def check_capacity(needed: Footprint, setup: Setup, model: str, allow_overflow: bool) -> tuple[str, ...]:
    """Refuse a model that the DRAM cannot hold, or say in a note that it is run anyway.

    Raises
    ------
    InputError
        The model does not fit, and `allow_overflow` is False.
    """
    capacity = capacity_bytes(setup)
    if capacity is None or needed.total <= capacity:
        return ()
    text = f"{model} needs {needed.total / 2**30:,.1f} GiB, and the DRAM has {capacity / 2**30:,.1f} GiB"
    if not allow_overflow:
        raise InputError(
            f"memory: {text}; take a smaller model, batch or context, a larger memory file, or --allow-overflow to run it anyway"
        )
    return (f"memory: {text}; run as if it fitted (allow_overflow)",)

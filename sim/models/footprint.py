"""Memory that a model needs: weights, embedding, head, KV cache and activations, against the capacity of the DRAM."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

from ...formats import InputError
from ...workloads import MODULES, ModelShape, Precision, gemms
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
            Tokens of all sequences whose keys and values are kept.
        """
        machine = setup.machine
        largest = precision if isinstance(precision, Precision) else Precision(*map(max, zip(*precision, strict=True)))
        channels = {gemm.module: (gemm.in_channels, gemm.out_channels) for gemm in gemms(shape, tokens=1)}
        weight_bits = sum(outs * machine.weights.channel_bits(ins) for ins, outs in channels.values())
        tied = shape.tied and head is not None and head.bits == FP16_BITS
        return cls(
            weights=shape.layers * weight_bits // 8,
            embedding=0 if head is None else _embedding_values(shape) * FP16_BITS // 8,
            head=0 if head is None or tied else shape.vocabulary * head.channel_bits(shape.hidden) // 8,
            kv_cache=kv_cache_bytes(shape, setup, cache, cached_tokens),
            activations=pass_tokens * _token_bits(shape, setup, machine.precision(largest), cache) // 8,
        )


def kv_cache_bytes(shape: ModelShape, setup: Setup, cache: KvCache, tokens: int) -> int:
    """Bytes of the keys and values of some tokens, in all layers."""
    bits = setup.machine.token_bits(shape.head_dim, cache.mantissa_bits if cache.format == "anda" else None)
    return tokens * shape.layers * 2 * shape.kv_heads * bits // 8


def _embedding_values(shape: ModelShape) -> int:
    """Values of the tables of token and position embeddings, of norms and of biases."""
    opt = shape.family == "opt"
    tables = (shape.vocabulary + (shape.max_length if shape.learned_positions else 0)) * shape.hidden
    norms = (2 * shape.layers + 1) * shape.hidden * (2 if opt else 1)
    biases = shape.layers * (5 * shape.hidden + shape.ffn) if opt else 0  # q, k, v, o, down; up
    return tables + norms + biases


def _token_bits(shape: ModelShape, setup: Setup, precision: Precision, cache: KvCache) -> int:
    """Bits of one token's activations: the stream, and the most that a part holds of inputs and outputs."""
    cache_bits = cache.mantissa_bits if cache.format == "anda" else None
    modules = {gemm.module: map_gemm(gemm, setup.machine, precision, cache_bits) for gemm in gemms(shape, tokens=1)}
    held = [modules[module].token_bits + modules[module].result_bits for module in MODULES]
    held += [modules[one].result_bits + modules[other].token_bits for one, other in (("qkv", "o"), ("u", "d"))]
    return shape.hidden * FP16_BITS + max(held)


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

"""The GeMMs of one forward pass, and the bit operations that a precision saves on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Self

from ...formats import InputError
from ...formats.checks import check_choice, check_integer
from .precision import Precision
from .shapes import Experts, ModelShape

FP16_BITS = 16
WEIGHT_BITS = 4
PHASES = ("prefill", "decode")
MOST_TOKENS = 1 << 24
"""Most tokens of a sequence, and largest size of a GeMM given by itself."""
MOST_SEQUENCES = 1 << 16
"""Largest batch."""


@dataclass(frozen=True)
class Gemm:
    """``repeat`` products ``[tokens, in_channels] @ [in_channels, out_channels]`` of equal shape."""

    module: str
    """``qkv``, ``o``, ``u``, ``d`` (activation times INT4 weight) or ``attention`` (FP16 times FP16)."""
    tokens: int
    in_channels: int
    out_channels: int
    repeat: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``TOKENSxINxOUT``; the GeMM counts as module ``u``.

        >>> Gemm.parse("2048x4096x4096")
        Gemm(module='u', tokens=2048, in_channels=4096, out_channels=4096, repeat=1)

        Raises
        ------
        InputError
            The text is not three positive whole numbers.
        """
        sizes = text.lower().split("x")
        if len(sizes) != 3 or not all(_is_size(size.strip()) for size in sizes):
            raise InputError(
                f"gemm: {text[:100]!r} is not three whole numbers from 1 to {MOST_TOKENS:,}; write TOKENSxINxOUT, such as "
                "2048x4096x4096"
            )
        return cls("u", *map(int, sizes))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one product."""
        return self.tokens * self.in_channels * self.out_channels

    @property
    def total_macs(self) -> int:
        """Multiply-accumulates of all `repeat` products."""
        return self.macs * self.repeat


def gemms(
    shape: ModelShape,
    phase: str = "prefill",
    tokens: int = 2048,
    context: int = 0,
    attention: bool = False,
    batch: int = 1,
) -> list[Gemm]:
    """List the GeMMs of a forward pass, without the language-model head and the routers of experts.

    Of a mixture of experts, the expected number of distinct experts of a pass (`Experts.distinct`) takes part. Its sum over
    layers and passes is rounded to a whole number, and the tokens are spread over them as evenly as whole numbers allow.

    Parameters
    ----------
    shape
        The model.
    phase
        ``"prefill"`` is one pass over `tokens`; ``"decode"`` is `tokens` steps of one token each.
    tokens
        Number of tokens to process of each sequence.
    context
        Number of tokens of each sequence that already have keys and values in the KV cache.
    attention
        Append the products of queries with keys and of probabilities with values. They count as dense rectangles,
        without the saving that a causal mask allows; a sliding window limits the keys. Query heads that share a key/value
        head form one product.
    batch
        Number of sequences.

    Raises
    ------
    InputError
        An unknown phase, no tokens or sequences, or a negative context.
    """
    check_choice("phase", phase, PHASES)
    check_tokens("tokens", tokens, 1)
    check_tokens("context", context, 0)
    check_batch(batch)
    rows, steps = (tokens, 1) if phase == "prefill" else (1, tokens)
    parts = [part.shape for part in shape.without_windows().parts]
    products = [gemm for part in parts for gemm in _gemms(part, rows * batch, part.layers * steps)]
    if attention:
        for step, part in product(range(steps), shape.parts):
            products += _attention(part.shape, rows, context + rows + step, batch)
    return products


def check_tokens(field: str, value: int, lowest: int) -> int:
    """Return a number of tokens of a sequence if it is one that a model can have."""
    if check_integer(field, value, lowest) > MOST_TOKENS:
        raise InputError(
            f"{field}: {value} is too many; use at most {MOST_TOKENS:,}, more than any model reads at once"
        )
    return value


def check_batch(value: int) -> int:
    """Return a number of sequences if it is one that a batch can have."""
    if check_integer("batch", value, 1) > MOST_SEQUENCES:
        raise InputError(
            f"batch: {value} is too many; use at most {MOST_SEQUENCES:,}, more than any server runs together"
        )
    return value


def _is_size(text: str) -> bool:
    return text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_TOKENS


def bops(shape: ModelShape, precision: Precision) -> int:
    """Bit operations of the FP-INT GeMMs for one token: M x 4 per multiply-accumulate (arXiv 2411.15982)."""
    return _weighted_macs(shape, precision) * WEIGHT_BITS


def bops_saving(shape: ModelShape, precision: Precision) -> float:
    """Bit operations with FP16 activations (16 x 4 each) over those with Anda: 16 / (MAC-weighted mean of M)."""
    return _weighted_macs(shape, Precision.uniform(FP16_BITS)) / _weighted_macs(shape, precision)


def _weighted_macs(shape: ModelShape, precision: Precision) -> int:
    """Multiply-accumulates of one token, each times the bits of its activation."""
    return sum(gemm.total_macs * getattr(precision, gemm.module) for gemm in gemms(shape, tokens=1))


def _gemms(shape: ModelShape, tokens: int, passes: int) -> list[Gemm]:
    """The GeMMs of equal layers; projections with the same input are one GeMM."""
    products = [
        Gemm("qkv", tokens, shape.hidden, shape.query_channels + shape.projected_kv_channels, passes),
        Gemm("o", tokens, shape.query_channels, shape.hidden, passes),
    ]
    experts = shape.experts
    ffns = [(tokens, shape.ffn, passes)] if experts is None else _expert_ffns(experts, tokens, passes)
    ups = 2 if shape.gated else 1
    products += [Gemm("u", rows, shape.hidden, ups * channels, repeat) for rows, channels, repeat in ffns]
    return products + [Gemm("d", rows, channels, shape.hidden, repeat) for rows, channels, repeat in ffns]


def _expert_ffns(experts: Experts, tokens: int, passes: int) -> list[tuple[int, int, int]]:
    """Tokens, channels and repeats of the shared experts, and of the distinct experts with fewer and with more tokens."""
    pairs = passes * tokens * experts.per_token
    distinct = min(round(passes * experts.distinct(tokens)), pairs)
    fewer, more = divmod(pairs, distinct)
    found = [
        (tokens, experts.shared_ffn, passes),
        (fewer, experts.ffn, distinct - more),
        (fewer + 1, experts.ffn, more),
    ]
    return [(rows, channels, repeat) for rows, channels, repeat in found if channels and repeat]


def _attention(shape: ModelShape, rows: int, keys: int, batch: int) -> list[Gemm]:
    queries = rows * (shape.heads // shape.kv_heads)
    repeat, seen = shape.layers * shape.kv_heads * batch, min(keys, shape.window or keys)
    return [
        Gemm("attention", queries, shape.head_dim, seen, repeat),
        Gemm("attention", queries, seen, shape.head_dim, repeat),
    ]

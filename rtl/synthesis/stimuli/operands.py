"""What circuits are measured on: groups of captured activations with the weights that they meet."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....formats import AndaFormat, InputError
from ....formats.anda.plane_mask import sent_planes
from ....workloads import MODULES, Trace, capture_trace, load_blocks, load_decoder
from ....workloads.fetch import cache_dir
from ...interfaces import MAX_MANTISSA_BITS

DEFAULT_TOKENS = 64
GROUPS = 192
"""Groups that a circuit is run on."""

BLOCK_TOKENS = 16
"""Tokens whose planes are skipped together: the rows of the array."""


@dataclass(frozen=True, eq=False)
class Operands:
    """Dot products of a captured GeMM, cut into groups.

    Attributes
    ----------
    activations : float16 ``[groups, lanes]``
        The channels of a token follow each other, then the next token, then the next layer or module.
    codes : int8 ``[groups, lanes]``
        INT4 codes -8 to 7 of the same channels, of one output channel per token.
    scales : float16 ``[groups]``
        What the codes are multiplied by.
    block_planes : bool ``[groups, 16]``, optional
        Which mantissa planes, the most significant first, have a one in some token of the group's block of
        `BLOCK_TOKENS`; the group's own without it.
    """

    activations: NDArray[np.float16]
    codes: NDArray[np.int8]
    scales: NDArray[np.float16]
    block_planes: NDArray[np.bool_] | None = None

    @property
    def lanes(self) -> int:
        """Channels of a group."""
        return self.activations.shape[1]

    @property
    def weights(self) -> NDArray[np.float16]:
        """float16 ``[groups, lanes]``: the weights as halves, for circuits that take no codes."""
        return (self.codes * self.scales[:, None].astype(np.float32)).astype(np.float16)

    @cached_property
    def sha256(self) -> str:
        """Hash of the values."""
        parts = (self.activations, self.codes, self.scales, self.block_planes)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts if part is not None)).hexdigest()


def default_trace() -> Trace:
    """The trace of the built-in model on built-in text, captured once and kept in the cache folder.

    Raises
    ------
    InputError
        Model or text is not fetched.
    """
    path = cache_dir() / "traces" / f"smollm2-135m-{DEFAULT_TOKENS}.safetensors"
    if not path.exists():
        decoder = load_decoder("smollm2-135m")
        blocks = load_blocks(decoder.tokenizer, "wiki", "calibration", tokens=DEFAULT_TOKENS, blocks=1)
        capture_trace(decoder, blocks, tokens=DEFAULT_TOKENS).save(path)
    return Trace.load(path)


def load_operands(path: Path | None = None, lanes: int = 64, groups: int = GROUPS) -> Operands:
    """Groups of a trace, from all its layers and modules alike.

    Parameters
    ----------
    path
        Of a captured trace; by default the built-in model's.
    lanes, groups
        Channels of a group, and how many groups.

    Raises
    ------
    InputError
        There is no such trace, or it is too small.
    """
    trace = default_trace() if path is None else Trace.load(path)
    sources = [(layer, module) for layer in trace.metadata["layers"] for module in MODULES]
    per_source = -(-groups // len(sources))
    parts = [_groups(trace, layer, module, lanes, per_source) for layer, module in sources]
    activations, codes, scales, planes = (np.concatenate(part)[:groups] for part in zip(*parts, strict=True))
    if len(activations) < groups:
        raise InputError(f"trace: holds {len(activations)} groups of {lanes} channels; capture {groups} or more")
    return Operands(activations, codes, scales, planes)


def _groups(
    trace: Trace, layer: int, module: str, lanes: int, count: int
) -> tuple[NDArray[np.float16], NDArray[np.int8], NDArray[np.float16], NDArray[np.bool_]]:
    """The first `count` whole groups of a module: token by token, each with an output channel of its own."""
    x = trace.activation(layer, module)
    weights = trace.first_weights(layer, module)
    per_token = x.shape[1] // lanes
    tokens = min(-(-count // max(per_token, 1)), len(x))
    whole = per_token * lanes
    outputs = np.arange(tokens) * 37 % weights.codes.shape[1]
    codes = weights.codes[:whole, outputs].T.astype(np.int8)
    if codes.min() >= 0:
        codes = codes - np.int8(8)  # unsigned codes of affine weights; their offset takes the difference
    scales = weights.scales[np.arange(0, whole, lanes) // weights.group_size][:, outputs].T
    return (
        x[:tokens, :whole].reshape(-1, lanes)[:count],
        np.clip(codes, -8, 7).astype(np.int8).reshape(-1, lanes)[:count],
        np.ascontiguousarray(scales).reshape(-1)[:count],
        _block_planes(x[:, :whole], lanes)[np.arange(tokens) // BLOCK_TOKENS].reshape(-1, MAX_MANTISSA_BITS)[:count],
    )


def _block_planes(x: NDArray[np.float16], lanes: int) -> NDArray[np.bool_]:
    """Which planes of a block of tokens have a one: bool ``[blocks, groups, 16]``; of shorter mantissas the first."""
    return sent_planes(AndaFormat(mantissa_bits=MAX_MANTISSA_BITS, group_size=lanes).encode(x), BLOCK_TOKENS)

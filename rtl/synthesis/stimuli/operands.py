"""Operands that circuits are measured on: groups of captured activations, with their weights."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
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
"""Number of groups that a circuit is run on."""

BLOCK_TOKENS = 16
"""Tokens of a block that skips planes together: the rows of the array."""


@dataclass(frozen=True, eq=False)
class Operands:
    """Dot products of a captured GeMM, cut into groups.

    Attributes
    ----------
    activations : float16 ``[groups, lanes]``
        Activations in order of channels, then tokens, then layers and modules.
    codes : int8 ``[groups, lanes]``
        INT4 codes, -8 to 7, of the same channels and one output channel per token.
    scales : float16 ``[groups]``
        Scales of the codes.
    block_planes : bool ``[groups, 16]``, optional
        True for each mantissa plane, the most significant first, that has a one in some token of the group's block of
        `BLOCK_TOKENS`.
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
        """Weights in FP16 ``[groups, lanes]``, for circuits that do not take codes."""
        return (self.codes * self.scales[:, None].astype(np.float32)).astype(np.float16)

    def of_units(self, units: int) -> list["Operands"]:
        """Operands of each unit of a row: the same activations, and the codes and scales of other groups."""
        return [
            replace(self, codes=np.roll(self.codes, unit, axis=0), scales=np.roll(self.scales, unit))
            for unit in range(units)
        ]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of all values."""
        parts = (self.activations, self.codes, self.scales, self.block_planes)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts if part is not None)).hexdigest()


def default_trace() -> Trace:
    """Trace of the built-in model on built-in text, captured once and kept in the cache folder.

    Raises
    ------
    InputError
        Model or text has not been fetched.
    """
    path = cache_dir() / "traces" / f"smollm2-135m-{DEFAULT_TOKENS}.safetensors"
    with suppress(InputError):  # missing or damaged
        return Trace.load(path)
    decoder = load_decoder("smollm2-135m")
    blocks = load_blocks(decoder.tokenizer, "wiki", "calibration", tokens=DEFAULT_TOKENS, blocks=1)
    path.unlink(missing_ok=True)
    capture_trace(decoder, blocks, tokens=DEFAULT_TOKENS).save(path)
    return Trace.load(path)


def load_operands(path: Path | None = None, lanes: int = 64, groups: int = GROUPS) -> Operands:
    """Load groups of a trace, equally many from each layer and module.

    Parameters
    ----------
    path : path
        Captured trace. The default is the trace of the built-in model.
    lanes : `int`
        Channels of a group.
    groups : `int`
        Number of groups.

    Raises
    ------
    InputError
        The trace does not exist or is too small.
    """
    trace = default_trace() if path is None else Trace.load(path)
    sources = [(layer, module) for layer in trace.metadata["layers"] for module in MODULES]
    per_source = -(-groups // len(sources))
    parts = [_groups(trace, layer, module, lanes, per_source) for layer, module in sources]
    activations, codes, scales, planes = (np.concatenate(part)[:groups] for part in zip(*parts, strict=True))
    if len(activations) < groups:
        raise InputError(f"trace: has {len(activations)} groups of {lanes} channels; capture {groups} or more")
    return Operands(activations, codes, scales, planes)


def _groups(
    trace: Trace, layer: int, module: str, lanes: int, count: int
) -> tuple[NDArray[np.float16], NDArray[np.int8], NDArray[np.float16], NDArray[np.bool_]]:
    """First `count` whole groups of a module, token by token; each token has its own output channel."""
    x = trace.activation(layer, module)
    weights = trace.first_weights(layer, module)
    per_token = x.shape[1] // lanes
    tokens = min(-(-count // max(per_token, 1)), len(x))
    whole = per_token * lanes
    outputs = np.arange(tokens) * 37 % weights.codes.shape[1]
    codes = weights.codes[:whole, outputs].T.astype(np.int8)
    if codes.min() >= 0:
        codes = codes - np.int8(8)  # unsigned codes of affine weights: their offset absorbs the difference
    scales = weights.scales[np.arange(0, whole, lanes) // weights.group_size][:, outputs].T
    return (
        x[:tokens, :whole].reshape(-1, lanes)[:count],
        np.clip(codes, -8, 7).astype(np.int8).reshape(-1, lanes)[:count],
        np.ascontiguousarray(scales).reshape(-1)[:count],
        _block_planes(x[:, :whole], lanes)[np.arange(tokens) // BLOCK_TOKENS].reshape(-1, MAX_MANTISSA_BITS)[:count],
    )


def _block_planes(x: NDArray[np.float16], lanes: int) -> NDArray[np.bool_]:
    """True for each plane with a one in a block of tokens: bool ``[blocks, groups, 16]``, most significant first."""
    return sent_planes(AndaFormat(mantissa_bits=MAX_MANTISSA_BITS, group_size=lanes).encode(x), BLOCK_TOKENS)

"""Evaluations that differ from a base format only in later layers start at the first layer that differs."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from ..models.parameters import FloatArray
from .decoder import ActivationHook, Decoder, Hook
from .hooks import LayeredActivations
from .torch_decoder import TorchDecoder


class PrefixCache:
    """A decoder, for `evaluate`, that keeps the residual stream before every layer under a base format.

    An evaluation of `LayeredActivations` over the same base starts at the first layer that differs. It gives the same
    values as the decoder itself.

    Parameters
    ----------
    decoder
        The model.
    base
        The format of the residual streams to keep.
    blocks
        Number of blocks to keep; each takes 4 bytes x tokens x hidden x layers (512 tokens of SmolLM2-135M: 35 MB).
    """

    def __init__(self, decoder: Decoder | TorchDecoder, base: ActivationHook, blocks: int = 8) -> None:
        self.sha256 = decoder.sha256
        self._decoder, self._base, self._capacity = decoder, base, blocks
        self._streams: OrderedDict[bytes, list[FloatArray]] = OrderedDict()

    def nll(self, blocks: NDArray[np.int32], hook: Hook | None = None) -> NDArray[np.float64]:
        """Negative log-likelihoods, the same as those of `Decoder.nll`: float64 ``[blocks, tokens - 1]``."""
        if hook == self._base:
            hook = LayeredActivations(self._base, {})
        if not isinstance(hook, LayeredActivations) or hook.base != self._base:
            return self._decoder.nll(blocks, hook)
        return np.stack([self._block_nll(tokens, hook) for tokens in blocks])

    def _block_nll(self, tokens: NDArray[np.int32], hook: LayeredActivations) -> NDArray[np.float64]:
        layers = self._decoder.shape.layers
        first = layers if hook.first_layer is None else hook.first_layer
        x = self._stream(tokens)[first].copy()
        self._decoder.run(x, range(first, layers), hook)
        return self._decoder.token_nll(x, tokens)

    def _stream(self, tokens: NDArray[np.int32]) -> list[FloatArray]:
        """The residual stream before each layer and after the last one."""
        key = tokens.tobytes()
        if key not in self._streams:
            x = self._decoder.hidden(tokens, layers=0)
            stream = [x.copy()]
            for layer in range(self._decoder.shape.layers):
                self._decoder.run(x, [layer], self._base)
                stream.append(x.copy())
            self._streams[key] = stream
            if len(self._streams) > self._capacity:
                self._streams.popitem(last=False)
        self._streams.move_to_end(key)
        return self._streams[key]

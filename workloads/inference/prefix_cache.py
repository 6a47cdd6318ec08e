"""Evaluations that differ from a base format only in later layers, started where they differ."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..models.parameters import FloatArray
from .decoder import Decoder, DescribedActivations, DescribedHook
from .torch_decoder import TorchDecoder


class LayeredActivations:
    """Another number format in some layers.

    Args:
        base: the activations of all other layers.
        layers: the activations of these layers.
    """

    def __init__(self, base: DescribedActivations, layers: Mapping[int, DescribedActivations]) -> None:
        self.base, self.layers = base, dict(layers)

    @property
    def description(self) -> str:
        """Identifies the activations' values, for the evaluation cache."""
        layers = sorted((layer, hook.description) for layer, hook in self.layers.items())
        return f"{self.base.description} but {layers}" if layers else self.base.description

    @property
    def first_layer(self) -> int | None:
        """The first layer that may differ from the base; None if none does."""
        return min(self.layers, default=None)

    def __call__(self, module: str, layer: int, x: FloatArray) -> FloatArray:
        """Apply the format of the layer."""
        return self.layers.get(layer, self.base)(module, layer, x)


class PrefixCache:
    """A decoder, for `evaluate`, that keeps the residual streams of a base format before every layer.

    An evaluation of `LayeredActivations` over the same base starts at the first layer that differs, and gives the same
    values as the decoder itself.

    Args:
        decoder: the model.
        base: the format whose residual streams are kept.
        blocks: how many blocks to keep; each takes 4 bytes x tokens x hidden x layers (512 tokens of SmolLM2-135M: 35 MB).
    """

    def __init__(self, decoder: Decoder | TorchDecoder, base: DescribedActivations, blocks: int = 8) -> None:
        self.sha256 = decoder.sha256
        self._decoder, self._base, self._capacity = decoder, base, blocks
        self._streams: OrderedDict[bytes, list[FloatArray]] = OrderedDict()

    def nll(self, blocks: NDArray[np.int32], hook: DescribedHook | None = None) -> NDArray[np.float64]:
        """As `Decoder.nll`."""
        if not isinstance(hook, LayeredActivations) or hook.base.description != self._base.description:
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

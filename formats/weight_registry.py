"""Registry of weight quantisation methods and of packed formats by name.

>>> quantizer = weight_quantizer("gptq", bits=3)
>>> quantizer.bits, quantizer.statistic
(3, 'hessian')
"""

from typing import Any

from .errors import InputError
from .registry import Registry
from .weights import serialization as weight_file
from .weights.base import PackedWeights, WeightQuantizer
from .weights.gguf import Q4_1, Q8_0
from .weights.gptq import Gptq
from .weights.grouped_int import IntegerWeights, RoundToNearest
from .weights.spqr.format import SpQRWeights
from .weights.spqr.quantizer import SpQR
from .weights.squeezellm import KMeans, SqueezeLLM, SqueezeLLMWeights

methods: Registry[WeightQuantizer] = Registry("method", "weight method")
packed_formats: Registry[PackedWeights] = Registry("data", "packed weight format")

_MODES: dict[str, list[dict[str, Any]]] = {
    "rtn": [{"bits": 3}, {"bits": 4}, {"bits": 8}],
    "gptq": [{"bits": 3}, {"bits": 4}],
    "kmeans": [{"bits": 3}, {"bits": 4}],
    "squeezellm": [
        {"bits": bits, **share} for bits in (3, 4) for share in ({}, {"sensitive_fraction": 0, "outlier_fraction": 0})
    ],
    "spqr": [{"bits": 3}, {"bits": 3, "group_size": 8, "statistics_group": 64}, {"bits": 4}],
}
"""Parameters of each published setting of a method."""

for _method in (RoundToNearest, Q4_1, Q8_0, Gptq, KMeans, SqueezeLLM, SpQR):
    methods.register(_method, _MODES.get(_method.name, [{}]))
for _packed in (IntegerWeights, SqueezeLLMWeights, SpQRWeights):
    packed_formats.register(_packed)


def weight_quantizers() -> list[str]:
    """Names of all methods."""
    return methods.names()


def weight_quantizer_modes(name: str) -> list[WeightQuantizer]:
    """Build the method with this name in each published setting."""
    return methods.modes(name)


def weight_quantizer(name: str, **parameters: Any) -> WeightQuantizer:
    """Build the method with this name and these parameters.

    Raises
    ------
    InputError
        The method, a parameter or a value does not exist.
    """
    return methods.build(name, parameters)


def read_weights(data: bytes) -> PackedWeights:
    """Read packed weights of any format that ``to_bytes`` wrote.

    Raises
    ------
    InputError
        The bytes are truncated or damaged, or have an unknown format.
    """
    name, image = weight_file.read(data)
    if name not in packed_formats.names():
        raise InputError(f"data: holds {name!r} weights; give one of {', '.join(packed_formats.names())}")
    return packed_formats.find(name).from_image(name, image)

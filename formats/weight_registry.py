"""The registries of weight quantisation methods and of packed formats: one name for each.

>>> quantizer = weight_quantizer("gptq", bits=3)
>>> quantizer.bits, quantizer.statistic
(3, 'hessian')
"""

import inspect
from typing import Any

from .errors import InputError
from .weights import serialization as weight_file
from .weights.base import PackedWeights, WeightQuantizer
from .weights.gguf import Q4_1, Q8_0
from .weights.gptq import Gptq
from .weights.grouped_int import IntegerWeights, RoundToNearest
from .weights.spqr.format import SpQRWeights
from .weights.spqr.quantizer import SpQR
from .weights.squeezellm import KMeans, SqueezeLLM, SqueezeLLMWeights

_FORMATS = {packed.name: packed for packed in (IntegerWeights, SqueezeLLMWeights, SpQRWeights)}

_METHODS = {method.name: method for method in (RoundToNearest, Q4_1, Q8_0, Gptq, KMeans, SqueezeLLM, SpQR)}

_MODES: dict[str, list[dict[str, Any]]] = {
    "rtn": [{"bits": 3}, {"bits": 4}, {"bits": 8}],
    "gptq": [{"bits": 3}, {"bits": 4}],
    "kmeans": [{"bits": 3}, {"bits": 4}],
    "squeezellm": [
        {"bits": bits, **share} for bits in (3, 4) for share in ({}, {"sensitive_fraction": 0, "outlier_fraction": 0})
    ],
    "spqr": [{"bits": 3}, {"bits": 3, "group_size": 8, "statistics_group": 64}, {"bits": 4}],
}
"""The parameters of each setting in which a method's source publishes it."""


def weight_quantizers() -> list[str]:
    """The names of all methods."""
    return list(_METHODS)


def weight_quantizer_modes(name: str) -> list[WeightQuantizer]:
    """The method of this name in every setting in which its source publishes it."""
    return [weight_quantizer(name, **parameters) for parameters in _MODES.get(name, [{}])]


def weight_quantizer(name: str, **parameters: Any) -> WeightQuantizer:
    """The method of this name with these parameters.

    Raises
    ------
    InputError
        There is no such method, it has no such parameter, or a parameter has no such value.
    """
    if name not in _METHODS:
        raise InputError(f"method: there is no weight method {name!r}; choose one of {', '.join(_METHODS)}")
    accepted = inspect.signature(_METHODS[name]).parameters
    for parameter in parameters:
        if parameter not in accepted:
            raise InputError(f"{parameter}: {name} has no such parameter; it has {', '.join(accepted) or 'none'}")
    return _METHODS[name](**parameters)


def read_weights(data: bytes) -> PackedWeights:
    """Packed weights of any format, from what their ``to_bytes`` wrote.

    Raises
    ------
    InputError
        The bytes are truncated or damaged, or of an unknown format.
    """
    name, _ = weight_file.read(data)
    if name not in _FORMATS:
        raise InputError(f"data: holds {name!r} weights; this program reads {', '.join(_FORMATS)}")
    return _FORMATS[name].from_bytes(data)

"""Registry of weight quantisation methods and of packed formats by name.

>>> quantizer = weight_quantizer("gptq", bits=3)
>>> quantizer.bits, quantizer.statistic
(3, 'hessian')
"""

from typing import Any

from .checks import check_choice, check_parameters
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
"""Parameters of each published setting of a method."""


def weight_quantizers() -> list[str]:
    """Names of all methods."""
    return list(_METHODS)


def weight_quantizer_modes(name: str) -> list[WeightQuantizer]:
    """Build the method with this name in each published setting."""
    return [weight_quantizer(name, **parameters) for parameters in _MODES.get(name, [{}])]


def weight_quantizer(name: str, **parameters: Any) -> WeightQuantizer:
    """Build the method with this name and these parameters.

    Raises
    ------
    InputError
        The method, a parameter or a value does not exist.
    """
    check_choice("method", name, _METHODS)
    check_parameters(name, _METHODS[name], parameters)
    return _METHODS[name](**parameters)


def read_weights(data: bytes) -> PackedWeights:
    """Read packed weights of any format that ``to_bytes`` wrote.

    Raises
    ------
    InputError
        The bytes are truncated or damaged, or have an unknown format.
    """
    name, image = weight_file.read(data)
    if name not in _FORMATS:
        raise InputError(f"data: holds {name!r} weights; give one of {', '.join(_FORMATS)}")
    return _FORMATS[name].from_image(name, image)

"""Models that transformers runs: fake quantisation in torch, hooks on their linear layers, evaluations."""

from .activations import activations, module_map
from .device import Placement
from .fake_quantize import fake_quantize
from .model import TransformersModel

__all__ = ["Placement", "TransformersModel", "activations", "fake_quantize", "module_map"]

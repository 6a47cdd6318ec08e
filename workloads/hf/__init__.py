"""Models that transformers runs: fake quantisation in torch, and hooks on their linear layers."""

from .activations import activations, module_map
from .fake_quantize import fake_quantize

__all__ = ["activations", "fake_quantize", "module_map"]

"""Simulator and co-design framework for LLM inference with variable-length grouped activations."""

from importlib.metadata import version as _version

__version__ = _version("anda-codesign")

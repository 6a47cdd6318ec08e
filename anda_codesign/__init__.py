"""Simulator and co-design framework for LLM inference with variable-length grouped activations."""

import os

if not os.path.isdir(os.path.join(os.path.dirname(__file__), "formats")):  # noqa: PTH112, PTH118, PTH120
    # In a checkout the rooms stand beside this folder; an installed package has them inside.
    __path__.append(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("anda-codesign")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

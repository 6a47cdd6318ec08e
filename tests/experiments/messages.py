"""Names that error messages list."""

from collections.abc import Callable

Refused = Callable[..., str]
"""Type of the fixture `refused`, which runs a wrong command line and returns its error message."""

MODELS = (
    "OPT-125M, OPT-1.3B, OPT-2.7B, OPT-6.7B, OPT-13B, OPT-30B, OPT-66B, LLaMA-7B, LLaMA-13B, LLaMA-30B, LLaMA-65B, "
    "LLaMA2-7B, LLaMA2-13B, LLaMA2-70B, LLaMA3-8B, LLaMA3-70B, SmolLM2-135M"
)

"""Provenance of a report's numbers: program, data, computer, constants, and limits of the models."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from ...formats.plugins import plugin_sources
from ...sim.config.defaults import DEFAULT_TECHNOLOGY
from ...workloads import LanguageModel, TextBlocks, Trace

SIMULATION_LIMITS = (
    "Energy and area constants are those of the technology below; paper-16nm has the paper's published 16 nm figures, not "
    "our own synthesis, and its energy split follows from Table III and Fig. 15.",
    "Scope gemms covers the FP-INT GeMMs (qkv, o, u, d); scope model adds attention, vector unit and KV cache, one after "
    "the other. Embedding and language-model head are never timed.",
    "With memory flat, DRAM is a bandwidth and an energy per bit; banks, rows and refresh take a memory file at level events, and "
    "standby and refresh energy that or dram_background on.",
    "Elements without operands take the idle power of this project's gates, unless idle says otherwise.",
    "Perplexity, where there is any, is that of the evaluated model's own weights and FP16 keys and values.",
)
LIMITS = (
    "Energy and area constants are the paper's published 16 nm figures, not our own synthesis; the energy split follows "
    "from its Table III and Fig. 15.",
    "Time and energy cover the FP-INT GeMMs (qkv, o, u, d). Attention, softmax, norms, the language-model head and the "
    "KV cache are left out.",
    "DRAM is a bandwidth and an energy per bit; banks, rows, refresh and standby are left out.",
    "Elements without operands take the idle power of this project's gates.",
    "The machine is timed with weights of 4.125 bits (INT4, groups of 128), the model's own weights have 5 bits (Q4_1).",
    "The circuits are checked on a slice, not on whole layers.",
)
PACKAGES = ("anda-codesign", "numpy", "numba", "simpy", "pandas", "matplotlib", "amaranth")


def provenance_items(
    command: str, decoder: LanguageModel, blocks: TextBlocks, trace: Trace, seconds: float
) -> list[str]:
    """Command, run time, versions and hashes of the inputs and of plugins, one line each."""
    return [
        f"command: {command}",
        f"time: {seconds:.0f} s, on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions: " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"model file sha256: {decoder.sha256}",
        *(f"plugin {origin} sha256: {sha256}" for origin, sha256 in plugin_sources().items()),
        f"evaluated tokens sha256: {blocks.sha256}",
        f"trace tokens sha256: {trace.metadata['text_sha256']}, layers {trace.metadata['layers']}",
        "published values: Fang et al., HPCA 2025 (arXiv 2411.15982)",
    ]


def constant_rows(technology: str = DEFAULT_TECHNOLOGY) -> list[tuple[str, ...]]:
    """Rows of a technology's constants: name, value, unit, source, uncertainty."""
    from ...sim import load_technology

    return list(_constants("", load_technology(technology).model_dump()))


def _constants(path: str, data: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of the constants in a nested record, depth first."""
    if "value" in data and "source" in data:
        yield path, f"{data['value']:g}", data["unit"], data["source"], data["uncertainty"]
        return
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _constants(f"{path}.{name}" if path else name, value)

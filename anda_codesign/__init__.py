"""Simulator and co-design framework for LLM inference with variable-length grouped activations.

Public names; each is loaded when it is first used, and ``help`` shows what it takes and returns.

=================  =====================================================================================
`AndaFormat`       the activation format: encodes, decodes, counts bits and cycles
`fp_int_gemm`      the product of Anda activations and INT4 weights, bit for bit the circuit's
`Precision`        mantissa bits of the four modules of a transformer block
`ModelShape`       sizes of a decoder-only transformer
`simulate`         cycles, traffic, energy and area of a model on an accelerator
`simulate_gemm`    the same of a single GeMM
`explain`          where every number of a simulation comes from
`sweep`            many simulations from one file
`search`           the fewest mantissa bits within a loss of perplexity
`report`           the main job: bits, savings and circuits of a model, as a report
`reproduce`        the paper's figures and tables beside ours
`quantize`         a model's weights quantised: size and perplexity
`capture_trace`    activations and weights of real layers, in a file
`run_accelerator`  a GeMM on the accelerator's circuit
`synthesize`       area, timing and energy of a circuit from gates
=================  =====================================================================================

The functions take keywords: names, paths or objects. Their results have ``to_dict()``, the document that the command line
prints as JSON, and ``to_frame()``, a pandas frame.

>>> import anda_codesign
>>> anda_codesign.simulate_gemm(gemm="64x512x512", precision=7).cycles
8245
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anda_codesign.experiments.simulation import explain as explain
    from anda_codesign.experiments.simulation import simulate as simulate
    from anda_codesign.experiments.simulation import simulate_gemm as simulate_gemm
    from anda_codesign.experiments.sweeps import sweep as sweep
    from anda_codesign.formats.anda.format import AndaFormat as AndaFormat
    from anda_codesign.formats.gemm.fp_int import fp_int_gemm as fp_int_gemm
    from anda_codesign.workloads.models.precision import Precision as Precision
    from anda_codesign.workloads.models.shapes import ModelShape as ModelShape

    __version__: str

if not os.path.isdir(os.path.join(os.path.dirname(__file__), "formats")):  # noqa: PTH112, PTH118, PTH120
    # In a checkout the rooms stand beside this folder; an installed package has them inside.
    __path__.append(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120

_MODULES = {
    "AndaFormat": "formats.anda.format",
    "fp_int_gemm": "formats.gemm.fp_int",
    "Precision": "workloads.models.precision",
    "ModelShape": "workloads.models.shapes",
    "simulate": "experiments.simulation",
    "simulate_gemm": "experiments.simulation",
    "explain": "experiments.simulation",
    "sweep": "experiments.sweeps",
}
"""The module of each public name."""

__all__ = ["AndaFormat", "ModelShape", "Precision", "explain", "fp_int_gemm", "simulate", "simulate_gemm", "sweep"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("anda-codesign")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})

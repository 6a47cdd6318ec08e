"""Simulator and co-design framework for LLM inference with variable-length grouped activations.

Public names; each is loaded when it is first used, and ``help`` shows what it takes and returns.

====================  ==================================================================================
`AndaFormat`          the activation format: encodes, decodes, counts bits and cycles
`fp_int_gemm`         the product of Anda activations and INT4 weights, bit for bit the circuit's
`Precision`           mantissa bits of the four modules of a transformer block
`ModelShape`          sizes of a decoder-only transformer
`simulate`            cycles, traffic, energy and area of a model on an accelerator
`simulate_gemm`       the same of a single GeMM
`explain`             where every number of a simulation comes from
`sweep`               many simulations from one file
`results`             the rows of a sweep: by SQL, or those that no other beats
`search`              the fewest mantissa bits within a loss of perplexity
`report`              the main job: bits, savings and circuits of a model, as a report
`reproduce`           the paper's figures and tables beside ours
`quantize`            a model's weights quantised: size and perplexity
`capture_trace`       activations and weights of real layers, in a file
`run_accelerator`     a GeMM on the accelerator's circuit
`export_verilog`      a circuit as Verilog, with testbenches and constraints
`synthesize`          area, timing and energy of a circuit from gates
`evaluate_model`      perplexity as in the papers, and zero-shot tasks, at one precision
`study`               loss by group size, width, module or format
`describe_model`      a model's shape, parameters and KV cache, from its name or configuration
`list_models`         all models whose shapes are known
`list_architectures`  all built-in accelerators
`list_formats`        all number formats with their bits and sources
`compare_formats`     noise, storage and cycles of activation formats on a trace
`trace_info`          content of a captured trace
`trace_planes`        zero bit-planes of a captured trace
`check_circuits`      processing element and compressor compared with the format on a trace
`accelerator_cycles`  cycles of the accelerator's circuit and of its timing model
`register`            a format of your own under its name
`load_plugin`         a file that registers formats of your own
====================  ==================================================================================

The functions take keywords: names, paths or objects. Their results have ``to_dict()``, the document that the command line
prints as JSON, and ``to_frame()``, a pandas frame.

>>> import anda_codesign
>>> anda_codesign.simulate_gemm(gemm="64x512x512", precision=7).cycles
8245
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anda_codesign.experiments.catalog import describe_model as describe_model
    from anda_codesign.experiments.catalog import list_architectures as list_architectures
    from anda_codesign.experiments.catalog import list_models as list_models
    from anda_codesign.experiments.circuits.accelerator_run import accelerator_cycles as accelerator_cycles
    from anda_codesign.experiments.circuits.accelerator_run import run_accelerator as run_accelerator
    from anda_codesign.experiments.circuits.circuit_check import check_circuits as check_circuits
    from anda_codesign.experiments.circuits.verilog_export import export_verilog as export_verilog
    from anda_codesign.experiments.evaluation.run import evaluate_model as evaluate_model
    from anda_codesign.experiments.formats.format_comparison import compare_formats as compare_formats
    from anda_codesign.experiments.formats.format_comparison import list_formats as list_formats
    from anda_codesign.experiments.formats.plane_statistics import trace_planes as trace_planes
    from anda_codesign.experiments.formats.quantize import quantize as quantize
    from anda_codesign.experiments.formats.traces import capture_trace as capture_trace
    from anda_codesign.experiments.formats.traces import trace_info as trace_info
    from anda_codesign.experiments.precision_search.run import search as search
    from anda_codesign.experiments.report.job import report as report
    from anda_codesign.experiments.reproduce.reproduction import reproduce as reproduce
    from anda_codesign.experiments.simulation import explain as explain
    from anda_codesign.experiments.simulation import simulate as simulate
    from anda_codesign.experiments.simulation import simulate_gemm as simulate_gemm
    from anda_codesign.experiments.study.measure import study as study
    from anda_codesign.experiments.sweeps import results as results
    from anda_codesign.experiments.sweeps import sweep as sweep
    from anda_codesign.experiments.synthesis.jobs import synthesize as synthesize
    from anda_codesign.formats.anda.format import AndaFormat as AndaFormat
    from anda_codesign.formats.gemm.fp_int import fp_int_gemm as fp_int_gemm
    from anda_codesign.formats.plugins import load_plugin as load_plugin
    from anda_codesign.formats.plugins import register as register
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
    "results": "experiments.sweeps",
    "describe_model": "experiments.catalog",
    "list_models": "experiments.catalog",
    "list_architectures": "experiments.catalog",
    "accelerator_cycles": "experiments.circuits.accelerator_run",
    "capture_trace": "experiments.formats.traces",
    "check_circuits": "experiments.circuits.circuit_check",
    "compare_formats": "experiments.formats.format_comparison",
    "export_verilog": "experiments.circuits.verilog_export",
    "list_formats": "experiments.formats.format_comparison",
    "load_plugin": "formats.plugins",
    "register": "formats.plugins",
    "quantize": "experiments.formats.quantize",
    "report": "experiments.report.job",
    "reproduce": "experiments.reproduce.reproduction",
    "run_accelerator": "experiments.circuits.accelerator_run",
    "search": "experiments.precision_search.run",
    "evaluate_model": "experiments.evaluation.run",
    "study": "experiments.study.measure",
    "synthesize": "experiments.synthesis.jobs",
    "trace_info": "experiments.formats.traces",
    "trace_planes": "experiments.formats.plane_statistics",
}
"""The module of each public name."""

__all__ = [
    "AndaFormat",
    "ModelShape",
    "Precision",
    "accelerator_cycles",
    "capture_trace",
    "check_circuits",
    "compare_formats",
    "describe_model",
    "evaluate_model",
    "explain",
    "export_verilog",
    "fp_int_gemm",
    "list_architectures",
    "list_formats",
    "list_models",
    "load_plugin",
    "quantize",
    "register",
    "report",
    "reproduce",
    "results",
    "run_accelerator",
    "search",
    "simulate",
    "simulate_gemm",
    "study",
    "sweep",
    "synthesize",
    "trace_info",
    "trace_planes",
]


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
    return sorted([*__all__, "__version__"])

"""Compare activation formats on captured activations: noise, storage and cycles.

The signal-to-noise ratio of a captured tensor is the sum of its squared values over the sum of the squared errors.
All layers have equal weight: the ratio of a module is the inverse of the mean noise-to-signal ratio of its layers. The
ratio measures the error of the activations, not its effect on the model; the effect on the model is the perplexity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...formats import InputError
from ...formats.activations.registry import ActivationFormat, activation_format_modes, activation_formats
from ...formats.named_format import fixed_formats
from ...formats.weight_registry import weight_quantizer_modes, weight_quantizers
from ...formats.weights.base import WeightQuantizer
from ...sim.output.palette import BLACK, COLORS
from ..options.question import question
from ..options.result import Result
from ..options.traces import ComparisonOptions
from ..sweep.evaluation import Evaluation, evaluate_hook
from .machine_comparison import MachineFigures, machine_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ...workloads import Trace
    from ...workloads.inference.decoder import Hook

Activations = Mapping[str, Sequence["NDArray[np.float16]"]]
"""Captured tensors ``[tokens, channels]`` of each module."""

MACHINE_ONLY = ("arch", "model", "blocks", "tokens")
"""Options that a comparison on a trace alone would ignore."""
WEIGHT_CHANNELS = 4096
LARGEST_PLOTTED_DB = 100
MARKERS = "osD^v<>pPX*dh"
"""Markers, first filled, then open: 26 formats can be distinguished without colour."""


@dataclass(frozen=True)
class FormatComparison:
    """A format and its signal-to-noise ratio in dB for each module; the ratio is infinite if every value is exact."""

    format: ActivationFormat
    snr_db: Mapping[str, float]
    machine: MachineFigures | None = None
    """Loss, cycles and energy, where a machine is asked for."""

    def record(self) -> dict[str, Any]:
        """The comparison as JSON values; a ratio is None if every value is exact."""
        ratios = {module: ratio if np.isfinite(ratio) else None for module, ratio in self.snr_db.items()}
        record = format_record(self.format) | ({"snr_db": ratios} if ratios else {})
        return record if self.machine is None else record | asdict(self.machine)


@dataclass(frozen=True)
class FormatComparisons(Result):
    """Result of `compare_formats`.

    Attributes
    ----------
    comparisons
        One comparison for each format.
    """

    comparisons: list[FormatComparison]

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda formats compare --json -`` prints."""
        return [comparison.record() for comparison in self.comparisons]

    def figure(self) -> Figure:
        """Signal-to-noise ratio against storage."""
        return comparison_figure(self.comparisons)


@dataclass(frozen=True)
class FormatList(Result):
    """Result of `list_formats`.

    Attributes
    ----------
    activation
        One record for each activation format in each of its published settings.
    weight
        The same for each weight method.
    """

    activation: list[dict[str, Any]]
    weight: list[dict[str, Any]]

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda formats --json -`` prints."""
        return [*self.activation, *self.weight]


def list_formats() -> FormatList:
    """List every activation format and weight method with its parameters, bits and source.

    Returns
    -------
    FormatList
        One row for each published setting of a format.
    """
    weight = [*(weight_record(method) for method in published_weight_methods()), *integer_only_records()]
    return FormatList([format_record(fmt) for fmt in published_formats()], weight)


@question(ComparisonOptions)
def compare_formats(options: ComparisonOptions) -> FormatComparisons:
    """Compare activation formats on captured activations: signal-to-noise ratio, bits per value, cycles.

    Returns
    -------
    FormatComparisons
        One row for each format; ``snr_db.qkv`` and so on are in dB, and empty if every value is exact.

    Raises
    ------
    InputError
        There is no such trace, a file is damaged, a format is unknown, or neither a trace nor a machine is asked for.
    """
    for name in MACHINE_ONLY if not options.machine else ():
        if getattr(options, name) != getattr(ComparisonOptions, name):
            raise InputError(f"{name}: applies with --machine only; add that, or leave it out")
    trace, formats = options.trace, _asked_formats(options)
    if trace is None and not options.machine:
        raise InputError("trace: is missing; give a captured trace, or --machine for loss, cycles and energy")
    if trace is None:
        compared = [FormatComparison(fmt, {}) for fmt in formats]
    else:
        activations = load_activations(trace) if isinstance(trace, str | Path) else trace_activations([trace])
        compared = measure_formats(activations, formats)
    if options.machine:
        evaluation = Evaluation(model=options.model, blocks=options.blocks, tokens=options.tokens)
        figures = machine_figures(formats, options.arch, options.model, partial(_loss_percent, evaluation))
        compared = [replace(one, machine=found) for one, found in zip(compared, figures, strict=True)]
    return FormatComparisons(compared)


def _loss_percent(evaluation: Evaluation, hook: Hook) -> tuple[float, float, int]:
    found = evaluate_hook(evaluation, hook)
    return found["loss_percent"], found["loss_standard_error_percent"], found["evaluation_blocks"]


def _asked_formats(options: ComparisonOptions) -> Sequence[ActivationFormat]:
    if options.formats is not None:
        return options.formats
    if not options.activations:
        return published_formats()
    return [named.build() for named in fixed_formats(options.activations, "activations")]


def format_record(fmt: ActivationFormat) -> dict[str, Any]:
    """Name, parameters, bits per value, cycles per group and source of an activation format, as JSON values."""
    return {
        "kind": "activation",
        "name": fmt.name,
        "parameters": fmt.parameters,
        "bits_per_value": fmt.bits_per_value,
        "cycles_per_group": fmt.cycles_per_group,
        "source": fmt.source,
    }


def weight_record(quantizer: WeightQuantizer) -> dict[str, Any]:
    """Name, parameters, bits per weight and source of a weight method, as JSON values.

    The bits follow from the method's formula for `WEIGHT_CHANNELS` input channels.
    """
    return {
        "kind": "weight",
        "name": quantizer.name,
        "parameters": quantizer.parameters,
        "bits_per_weight": quantizer.average_bits(WEIGHT_CHANNELS),
        "source": quantizer.source,
    }


def integer_only_records() -> list[dict[str, Any]]:
    """Records like `weight_record` of I-LLM's published widths; each output channel has a scale and a zero point."""
    from ...workloads.integer_only.weights import MULTIPLIER_BITS, ZERO_POINT_BITS

    parameters = (MULTIPLIER_BITS + ZERO_POINT_BITS) / WEIGHT_CHANNELS
    return [
        {
            "kind": "weight",
            "name": "illm",
            "parameters": {"bits": bits},
            "bits_per_weight": bits + parameters,
            "source": "I-LLM (arXiv 2405.17849), weights and activations of W8A8, W6A6 and W4A4",
        }
        for bits in (8, 6, 4)
    ]


def published_weight_methods() -> list[WeightQuantizer]:
    """Every registered weight method, in each of its published settings."""
    return [method for name in weight_quantizers() for method in weight_quantizer_modes(name)]


def published_formats() -> list[ActivationFormat]:
    """Every registered activation format, in each of its published settings."""
    return [fmt for name in activation_formats() for fmt in activation_format_modes(name)]


def format_label(fmt: ActivationFormat) -> str:
    """Registered name of a format, followed by its mantissa bits if it has several published settings."""
    if len(activation_format_modes(fmt.name)) == 1:
        return fmt.name
    return f"{fmt.name} {fmt.parameters['mantissa_bits']}"


def load_activations(path: Path | str) -> dict[str, list[NDArray[np.float16]]]:
    """Activations of a trace file, or of all trace files in a folder, for each module.

    Raises
    ------
    InputError
        The file or folder does not exist, the folder has no trace, or a file is damaged.
    """
    from ...workloads import Trace

    path = Path(path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"trace: {path} has no .safetensors file; capture one with `anda trace capture`")
    return trace_activations([Trace.load(file) for file in files])


def trace_activations(traces: Iterable[Trace]) -> dict[str, list[NDArray[np.float16]]]:
    """Activations of traces for each module, one tensor ``[tokens, channels]`` for each captured layer."""
    from ...workloads import MODULES

    captured = [(trace, layer) for trace in traces for layer in trace.metadata["layers"]]
    return {module: [trace.activation(layer, module) for trace, layer in captured] for module in MODULES}


def measure_formats(
    activations: Activations, formats: Sequence[ActivationFormat] | None = None
) -> list[FormatComparison]:
    """Encode and decode all activations in every format; the default is `published_formats`.

    Raises
    ------
    InputError
        A module has no activations, or they are not finite float16 ``[..., channels]``.
    """
    for module, tensors in activations.items():
        if not tensors:
            raise InputError(f"activations: {module} has no tensors; give at least one [tokens, channels]")
    return [
        FormatComparison(fmt, {module: snr_db(fmt, tensors) for module, tensors in activations.items()})
        for fmt in (published_formats() if formats is None else formats)
    ]


def snr_db(fmt: ActivationFormat, tensors: Sequence[NDArray[np.float16]]) -> float:
    """Signal-to-noise ratio of ``fmt`` in dB, with equal weight for each tensor; infinite if every value is exact."""
    noise = float(np.mean([_noise_to_signal(x, fmt.encode(x).decode()) for x in tensors]))
    return -10 * float(np.log10(noise)) if noise > 0 else float("inf")


def _noise_to_signal(x: NDArray[np.float16], decoded: NDArray[np.floating[Any]]) -> float:
    exact = x.astype(np.float64)
    noise = float(np.sum((decoded.astype(np.float64) - exact) ** 2))
    return noise / float(np.sum(exact**2)) if noise > 0 else 0.0


def comparison_figure(comparisons: Sequence[FormatComparison]) -> Figure:
    """Plot of signal-to-noise ratio against storage, one panel for each module; a line joins the settings of a format.

    Formats above `LARGEST_PLOTTED_DB` are exact or nearly exact and are not drawn.
    """
    from matplotlib.figure import Figure

    modules = list(comparisons[0].snr_db)
    figure = Figure(figsize=(11, 4.2 * -(-len(modules) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(modules) // 2), 2, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, module in zip(panels, modules, strict=False):
        for index, name in enumerate(dict.fromkeys(c.format.name for c in comparisons)):
            drawn = [c for c in comparisons if c.format.name == name and c.snr_db[module] <= LARGEST_PLOTTED_DB]
            color = BLACK if name == "anda" else COLORS[1 + index % (len(COLORS) - 1)]
            axes.plot(
                [c.format.bits_per_value for c in drawn],
                [c.snr_db[module] for c in drawn],
                color=color,
                marker=MARKERS[index % len(MARKERS)],
                markerfacecolor=color if index < len(MARKERS) else "white",
                linewidth=0.8,
                label=name,
            )
        axes.set_title(module)
        axes.set_xlabel("bits per value in memory")
        axes.set_ylabel("signal-to-noise ratio, dB")
        axes.grid(visible=True, alpha=0.25)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure

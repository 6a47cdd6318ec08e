"""One simulation of a model, or of a single GeMM, as a plain record: what `anda simulate` prints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..formats import InputError
from ..workloads import Gemm, ModelShape, Precision, gemms, load_shape

if TYPE_CHECKING:
    from ..sim import Architecture, GemmRun, ModelResult, SimulationResult


def simulate_model(
    model: str | ModelShape,
    arch: str | Architecture,
    precision: Precision | None = None,
    *,
    tokens: int = 2048,
    context: int = 0,
    batch: int = 1,
    phase: str = "prefill",
    kv_cache: str = "fp16",
    vector_unit: str = "fp16",
    whole: bool = False,
    **machine: Any,
) -> dict[str, Any]:
    """Simulate a model: the record that `anda simulate --json -` prints.

    Args:
        model: a name of `workloads.model_names`, a checkpoint folder, or a shape.
        arch: a name of `sim.architecture_names`, the path of a YAML file, or an object.
        precision: mantissa bits; needed where the architecture's are variable, without effect elsewhere.
        tokens: tokens of the pass (prefill), or steps of one token each (decode).
        context: tokens whose keys and values are cached already.
        batch: sequences that run together and share each fetch of the weights.
        phase: ``"prefill"`` or ``"decode"``.
        kv_cache: ``"fp16"`` or ``"anda:M"``; of whole models.
        vector_unit: ``"fp16"`` or ``"integer"``; of whole models.
        whole: the attention and the vector unit too, not the FP-INT GeMMs alone.
        machine: ``level``, ``technology``, ``objective``, ``tiling``, ``memory``, ``weights``, ``group_cycles`` and
            ``timeline`` as of `sim.simulate`; ``midpoint`` for an array with midpoint reconstruction.

    Raises:
        InputError: an argument is unknown or out of its range, or `precision` is missing.
    """
    result = run_model(
        model,
        arch,
        precision,
        tokens=tokens,
        context=context,
        batch=batch,
        phase=phase,
        kv_cache=kv_cache,
        vector_unit=vector_unit,
        whole=whole,
        **machine,
    )
    return record(result, model=load_shape(model).name, phase=phase, tokens=tokens, context=context, batch=batch)


def simulate_gemm(
    gemm: str, arch: str | Architecture, precision: Precision | None = None, **machine: Any
) -> dict[str, Any]:
    """Simulate a single GeMM given as text, ``"2048x4096x4096"`` (tokens, input and output channels).

    `machine` is as of `simulate_model`.
    """
    result = run_gemm(gemm, arch, precision, **machine)
    return record(result, model=None, gemm=gemm, tokens=result.runs[0].gemm.tokens)


def run_model(
    model: str | ModelShape,
    arch: str | Architecture,
    precision: Precision | None = None,
    *,
    tokens: int = 2048,
    context: int = 0,
    batch: int = 1,
    phase: str = "prefill",
    kv_cache: str = "fp16",
    vector_unit: str = "fp16",
    whole: bool = False,
    midpoint: bool = False,
    **machine: Any,
) -> SimulationResult | ModelResult:
    """The simulation behind `simulate_model`, with all its parts."""
    from .. import sim

    shape = load_shape(model)
    if batch < 1:
        raise InputError(f"batch: {batch} is too few; use 1 or more")
    if not whole:
        for field, value in (("kv_cache", kv_cache), ("vector_unit", vector_unit)):
            if value != "fp16":
                raise InputError(f"{field}: {value!r} matters to whole models only; simulate a whole one")
    loaded = load_architecture(arch, midpoint)
    bits = _precision(loaded, precision)
    if whole:
        request = {"phase": phase, "tokens": tokens, "context": context, "batch": batch}
        return sim.simulate_model(shape, loaded, bits, kv_cache=kv_cache, vector_unit=vector_unit, **request, **machine)
    products = gemms(shape, phase=phase, tokens=tokens, context=context)
    work = [replace(product, tokens=product.tokens * batch) for product in products]
    return sim.simulate(work, loaded, bits, **machine)


def run_gemm(
    gemm: str, arch: str | Architecture, precision: Precision | None = None, midpoint: bool = False, **machine: Any
) -> SimulationResult:
    """The simulation behind `simulate_gemm`, with all its parts."""
    from .. import sim

    product = Gemm.parse(gemm)
    loaded = load_architecture(arch, midpoint)
    return sim.simulate([product], loaded, _precision(loaded, precision), **machine)


def load_architecture(arch: str | Architecture, midpoint: bool = False) -> Architecture:
    """An architecture by name, by the path of its YAML file, or the object itself; with midpoint reconstruction if asked.

    Raises:
        InputError: it is unknown, or has no planes to reconstruct from.
    """
    from .. import sim

    machine = arch if isinstance(arch, sim.Architecture) else sim.load_architecture(arch)
    if not midpoint:
        return machine
    element = machine.processing_element
    if element.timing != "bit-serial":
        raise InputError(f"midpoint: {machine.name} has no mantissa planes; leave it out")
    return machine.model_copy(update={"processing_element": element.model_copy(update={"midpoint": True})})


def fixed_precision(arch: str | Architecture) -> bool:
    """Whether the mantissa bits of an architecture are its own, whatever precision a run asks for."""
    return load_architecture(arch).processing_element.mantissa_bits != "variable"


def _precision(machine: Architecture, precision: Precision | None) -> Precision:
    if precision is not None:
        return precision
    if not fixed_precision(machine):
        raise InputError(
            f"precision: {machine.name} needs one; give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"
        )
    return Precision.uniform(16)  # replaced by the architecture's own


def record(result: SimulationResult | ModelResult, **inputs: Any) -> dict[str, Any]:
    """A result as plain Python numbers, `inputs` first."""
    from ..sim import ModelResult, not_modelled

    gemm_result = result.gemms if isinstance(result, ModelResult) else result
    document = {
        **inputs,
        "arch": gemm_result.architecture,
        "precision": list(gemm_result.precision),
        "technology": gemm_result.technology,
        "weights": gemm_result.machine.weights.name,
        **gemm_result.to_dict(),
        "gemms": [_gemm_record(run) for run in gemm_result.runs],
    }
    if isinstance(result, ModelResult):
        totals = result.to_dict()
        parts = totals.pop("rows")
        document |= {key: totals[key] for key in totals if key not in ("model", "arch")}
        document["parts"] = parts
    document["notes"] = list(gemm_result.costs.notes)
    document["not_modelled"] = not_modelled(result)
    return document


def _gemm_record(run: GemmRun) -> dict[str, Any]:
    document: dict[str, Any] = {
        "module": run.gemm.module,
        "tokens": run.gemm.tokens,
        "in_channels": run.gemm.in_channels,
        "out_channels": run.gemm.out_channels,
        "repeat": run.gemm.repeat,
        "mantissa_bits": run.mapped.mantissa_bits,
        "tiling": str(run.tiling),
        "cycles": run.cycles,
        "array_cycles": run.array_cycles,
    }
    if run.report is not None:
        document["dram_utilisation"] = run.report.dram.utilisation(run.cycles)
        document["row_hit_rate"] = run.report.dram.row_hit_rate
    return document

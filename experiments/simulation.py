"""One simulation of a model, or of a single GeMM, as a plain record: what `anda simulate` prints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..formats import InputError
from ..workloads import Gemm, Precision, gemms, model_shape

if TYPE_CHECKING:
    from ..sim import Architecture, SimulationResult, Technology


def simulate_model(
    model: str,
    arch: str | Architecture,
    precision: Precision | None = None,
    *,
    tokens: int = 2048,
    context: int = 0,
    batch: int = 1,
    phase: str = "prefill",
    level: str = "closed",
    technology: str | Technology = "paper-16nm",
    objective: str = "energy",
    tiling: str = "search",
) -> dict[str, Any]:
    """Simulate the FP-INT GeMMs of a model: the record that `anda simulate --json -` prints.

    Args:
        model: a name of `workloads.model_names`.
        arch: a name of `sim.architecture_names`, the path of a YAML file, or an object.
        precision: mantissa bits; needed where the architecture's are variable, without effect elsewhere.
        tokens: tokens of the pass (prefill), or steps of one token each (decode).
        context: tokens whose keys and values are cached already.
        batch: sequences that run together and share each fetch of the weights.
        phase: ``"prefill"`` or ``"decode"``.
        level: ``"closed"`` or ``"events"``.
        technology: a name of `sim.technology_names`, the path of a YAML file, or an object.
        objective: what the search for each GeMM's tiling minimises.
        tiling: see `sim.simulate`.

    Raises:
        InputError: an argument is unknown or out of its range, or `precision` is missing.
    """
    shape = model_shape(model)
    if batch < 1:
        raise InputError(f"batch: {batch} is too few; use 1 or more")
    products = gemms(shape, phase=phase, tokens=tokens, context=context)
    work = [replace(product, tokens=product.tokens * batch) for product in products]
    result = _simulate(work, arch, precision, level, technology, objective, tiling)
    return _record(result, model=shape.name, phase=phase, tokens=tokens)


def simulate_gemm(
    gemm: str,
    arch: str,
    precision: Precision | None = None,
    *,
    level: str = "closed",
    technology: str = "paper-16nm",
    objective: str = "energy",
    tiling: str = "search",
) -> dict[str, Any]:
    """Simulate a single GeMM given as text, ``"2048x4096x4096"`` (tokens, input and output channels)."""
    from ..sim import parse_gemm

    product = parse_gemm(gemm)
    result = _simulate([product], arch, precision, level, technology, objective, tiling)
    return _record(result, model=None, gemm=gemm, tokens=product.tokens)


def fixed_precision(arch: str) -> bool:
    """Whether the mantissa bits of an architecture are its own, whatever precision a run asks for."""
    return _load(arch).processing_element.mantissa_bits != "variable"


def _load(arch: str | Architecture) -> Architecture:
    from ..sim import Architecture, load_architecture

    return arch if isinstance(arch, Architecture) else load_architecture(arch)


def _simulate(
    work: list[Gemm],
    arch: str | Architecture,
    precision: Precision | None,
    level: str,
    technology: str | Technology,
    objective: str,
    tiling: str,
) -> SimulationResult:
    from ..sim import simulate

    machine = _load(arch)
    if precision is None:
        if machine.processing_element.mantissa_bits == "variable":
            raise InputError(
                f"precision: {machine.name} needs one; give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"
            )
        precision = Precision.uniform(16)  # replaced by the architecture's own
    # level and objective are checked by `simulate`, whose signature names the choices
    return simulate(
        work,
        machine,
        precision,
        level=level,  # pyright: ignore[reportArgumentType]
        technology=technology,
        objective=objective,  # pyright: ignore[reportArgumentType]
        tiling=tiling,
    )


def _record(result: SimulationResult, **inputs: Any) -> dict[str, Any]:
    return {
        **inputs,
        "arch": result.architecture,
        "precision": list(result.precision),
        "technology": result.technology,
        **result.to_dict(),
        "gemms": [
            {
                "module": run.gemm.module,
                "tokens": run.gemm.tokens,
                "in_channels": run.gemm.in_channels,
                "out_channels": run.gemm.out_channels,
                "repeat": run.gemm.repeat,
                "mantissa_bits": run.problem.mantissa_bits,
                "tiling": str(run.tiling),
                "cycles": run.cycles,
                "array_cycles": run.array_cycles,
            }
            for run in result.runs
        ],
    }

"""The known models and architectures: `list_models` and `list_architectures`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .options.result import Table


def list_models() -> Table:
    """The models whose shapes are known.

    Returns
    -------
    Table
        One row a model: its shape, and the multiply-accumulates per token of its FP-INT GeMMs (`macs_per_token`).
    """
    from ..workloads import gemms, model_names, model_shape

    shapes = [model_shape(name) for name in model_names()]
    return Table(
        [
            asdict(shape) | {"macs_per_token": sum(gemm.total_macs for gemm in gemms(shape, tokens=1))}
            for shape in shapes
        ]
    )


def list_architectures() -> Table:
    """The built-in accelerators.

    Returns
    -------
    Table
        One row an architecture: its processing elements, the format in its activation memory, and its area in the
        paper's node (`area_mm2`).
    """
    from ..sim import architecture_names

    return Table([_architecture(name) for name in architecture_names()])


def _architecture(name: str) -> dict[str, Any]:
    from ..sim import load_architecture, load_technology
    from ..sim.cost.energy import unit_costs

    machine = load_architecture(name)
    areas = unit_costs(machine, load_technology()).area_mm2
    return {
        "name": machine.name,
        "title": machine.title,
        "clock_hz": machine.clock_hz,
        "rows": machine.array.rows,
        "columns": machine.array.columns,
        "lanes": machine.processing_element.lanes,
        "timing": machine.processing_element.timing,
        "mantissa_bits": machine.processing_element.mantissa_bits,
        "default_precision": None if machine.default_precision is None else str(machine.default_precision),
        "activation_memory": machine.activation_memory,
        "area_mm2": sum(areas.values()),
        "source": machine.source,
    }

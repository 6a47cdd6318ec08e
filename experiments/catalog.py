"""What exists: the known models and architectures, as records and as pandas frames."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def models_frame() -> pd.DataFrame:
    """One row a model: its shape, and the multiply-accumulates per token of its FP-INT GeMMs (`macs_per_token`)."""
    import pandas as pd

    return pd.DataFrame(model_records())


def archs_frame() -> pd.DataFrame:
    """One row an architecture: its processing elements, what its memory holds, and its area in the paper's node."""
    import pandas as pd

    return pd.DataFrame(arch_records())


def model_records() -> list[dict[str, Any]]:
    """The rows of `models_frame` as plain dictionaries."""
    from ..workloads import gemms, model_names, model_shape

    shapes = [model_shape(name) for name in model_names()]
    return [
        asdict(shape) | {"macs_per_token": sum(gemm.total_macs for gemm in gemms(shape, tokens=1))} for shape in shapes
    ]


def arch_records(technology: str = "paper-16nm") -> list[dict[str, Any]]:
    """The rows of `archs_frame` as plain dictionaries; areas in mm^2 from a technology."""
    from ..sim import architecture_names, load_architecture, load_technology
    from ..sim.cost.energy import unit_costs

    records: list[dict[str, Any]] = []
    for name in architecture_names():
        machine = load_architecture(name)
        areas = unit_costs(machine, load_technology(technology)).area_mm2
        records.append(
            {
                "name": machine.name,
                "title": machine.title,
                "clock_hz": machine.clock_hz,
                "rows": machine.array.rows,
                "columns": machine.array.columns,
                "lanes": machine.processing_element.lanes,
                "timing": machine.processing_element.timing,
                "mantissa_bits": machine.processing_element.mantissa_bits,
                "activation_memory": machine.activation_memory,
                "area_mm2": sum(areas.values()),
                "source": machine.source,
            }
        )
    return records

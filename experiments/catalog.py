"""The known models and architectures: `list_models` and `list_architectures`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from .options.question import question
from .options.result import Result, Table
from .options.simulation import ModelOptions

if TYPE_CHECKING:
    from ..workloads import ModelShape

MODEL_COLUMNS = (
    *("name", "family", "hidden", "ffn", "layers", "heads", "kv_heads", "vocabulary", "gated", "max_length", "tied"),
    *("head_size", "source"),
)
"""Fields of a shape in the list of models."""


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
            {name: getattr(shape, name) for name in MODEL_COLUMNS}
            | {"macs_per_token": sum(gemm.total_macs for gemm in gemms(shape, tokens=1))}
            for shape in shapes
        ]
    )


@dataclass(frozen=True)
class ModelDescription(Result):
    """A model's shape, and what follows from it.

    Attributes
    ----------
    shape
        Sizes, kinds of layers, experts.
    parameters, active_parameters
        Number of all parameters, and of those that compute one token.
    kv_bytes_per_token, kv_bytes
        Bytes of keys and values in FP16: of a token in all layers, and of one sequence of the longest context, with its windows.
    """

    shape: ModelShape
    parameters: int
    active_parameters: int
    kv_bytes_per_token: int
    kv_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The document that ``anda models show --json -`` prints."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "shape"}
        return asdict(self.shape) | {"head_dim": self.shape.head_dim} | numbers

    def to_yaml(self) -> str:
        """The shape as YAML that `simulate` reads; comments say what follows from it."""
        from ..workloads.models.shape_files import shape_yaml

        shape, active = self.shape, self.active_parameters
        of_them = "" if active == self.parameters else f", {active:,} of them compute a token"
        return (
            shape_yaml(shape)
            + f"# parameters: {self.parameters:,}{of_them}\n"
            + f"# keys and values in FP16: {self.kv_bytes_per_token:,} bytes a token, "
            + f"{self.kv_bytes:,} bytes for {shape.max_length:,} tokens\n"
        )


@question(ModelOptions)
def describe_model(options: ModelOptions) -> ModelDescription:
    """Describe a model without its weights: its shape, parameters and KV cache.

    Returns
    -------
    ModelDescription
        The shape, and what follows from it.

    Raises
    ------
    InputError
        The model is unknown, or its file is damaged or asks for what no shape expresses.
    """
    from ..workloads import load_shape
    from ..workloads.models.counts import active_parameters, kv_values, parameters

    shape = load_shape(options.model)
    return ModelDescription(
        shape,
        parameters(shape),
        active_parameters(shape),
        2 * kv_values(shape, 1),
        2 * kv_values(shape, shape.max_length),
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
        "activations": machine.activations.text,
        "area_mm2": math.fsum(areas.values()),
        "source": machine.source,
    }

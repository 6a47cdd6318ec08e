"""The dataflows by name."""

from ..config.array import Array, DataflowName
from .base import Dataflow
from .input_stationary import InputStationary
from .output_stationary import OutputStationary
from .weight_stationary import WeightStationary

DATAFLOWS: dict[DataflowName, Dataflow] = {
    flow.name: flow for flow in (OutputStationary(), WeightStationary(), InputStationary())
}


def dataflow_of(array: Array) -> Dataflow:
    """The dataflow of an array."""
    return DATAFLOWS[array.dataflow]

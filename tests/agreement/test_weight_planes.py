"""Cycles of the element that is serial over the weights' bits, in circuit and machine."""

from anda_codesign.formats.latency.elements import FP16_GROUP_CYCLES, WEIGHT_PLANE_CYCLES
from anda_codesign.formats.processing_elements.aligned import WEIGHT_PLANES
from anda_codesign.rtl import create_design
from anda_codesign.sim import load_architecture


def test_a_plane_takes_the_steps_of_the_circuit() -> None:
    """A step takes one bit of the weights of all lanes; INT4 takes as long as the FP16 baseline."""
    lanes = create_design("ifpu-pe").parameters.lanes
    machine = load_architecture("ifpu")
    assert machine.group_size // lanes == WEIGHT_PLANE_CYCLES
    assert machine.weight_digits == WEIGHT_PLANES
    assert machine.array_cycles_per_group(16) == WEIGHT_PLANES * machine.group_size // lanes == FP16_GROUP_CYCLES

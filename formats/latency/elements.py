"""Cycles of one processing element for one group of 64 activations.

Sources: Anda (arXiv 2411.15982), sections III and IV; the published efficiencies of processing elements are the area
ratio times ``16 / (M + 1)``.
"""

from dataclasses import dataclass

SIGN_LOAD_CYCLES = 1
"""Cycles to load a group's sign plane and exponent, before the first mantissa plane."""

FP16_GROUP_CYCLES = 16
"""Cycles of a 16-bit baseline element of equal peak throughput, 4 MAC per cycle."""

WEIGHT_PLANE_CYCLES = 4
"""Cycles of an element that is serial over the bits of its weights, for one bit-plane of 64 weights: 16 for INT4."""


@dataclass(frozen=True)
class Latency:
    """Cycles of a user's own processing element.

    Attributes
    ----------
    cycles_per_group
        Cycles from one group to the next: a formula over ``mantissa_bits``, ``weight_bits`` and ``group_size``, as
        architecture files have it.
    """

    cycles_per_group: str


def pe_cycles_per_group(mantissa_bits: int) -> int:
    """Cycles of a bit-serial element: the sign plane, then one cycle per mantissa plane."""
    return SIGN_LOAD_CYCLES + mantissa_bits

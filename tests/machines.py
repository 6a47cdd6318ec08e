"""Accelerators small enough for any simulator of circuits."""

from anda_codesign.formats.accelerator import AcceleratorConfig

SMALL_MACHINE = AcceleratorConfig(
    rows=2,
    columns=2,
    lanes=8,
    memory_bits=128,
    plane_depth=64,
    exponent_depth=16,
    weight_depth=128,
    factor_depth=64,
    result_depth=16,
    instruction_depth=1024,
    vector_unit=False,
)
"""2 x 2 elements of 8 lanes; buffers in which some GeMMs fit at once, and others in chunks."""

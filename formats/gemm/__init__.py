"""The FP-INT GeMM: reference, compiled kernels, packed weights."""

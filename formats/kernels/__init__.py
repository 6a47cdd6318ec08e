"""Compiled kernels of the Anda format and the FP-INT GeMM: numba with LLVM vectors. Import them lazily."""

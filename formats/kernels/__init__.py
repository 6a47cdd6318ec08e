"""Tools of the compiled kernels: numba and LLVM vectors. Import kernels lazily, since numba loads slowly."""

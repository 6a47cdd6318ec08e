"""Testbenches: they run elements, arrays, the vector unit and the accelerator on values of `formats`."""

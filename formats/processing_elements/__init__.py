"""Arithmetic of processing elements, bit for bit as in the circuits of `rtl`."""

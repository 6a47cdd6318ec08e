"""The arithmetic of processing elements and operator circuits, bit for bit as the circuits of `rtl` do it."""

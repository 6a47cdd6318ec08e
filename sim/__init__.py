"""The machine: timing, buffers, DRAM, energy and area."""

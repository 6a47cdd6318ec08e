"""Gate netlists: reading, simulation, timing and power."""

"""Netlists: simulation, timing, power."""

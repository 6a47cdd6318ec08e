"""Synthesis of the circuits: area, timing and power from a gate netlist."""

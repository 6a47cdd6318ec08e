"""Verilog export of the circuits, and its lint."""

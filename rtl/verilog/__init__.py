"""Verilog export and lint."""

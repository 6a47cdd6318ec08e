"""Operand streams that drive a netlist."""

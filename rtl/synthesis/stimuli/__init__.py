"""Stimuli of the circuits: inputs, expected outputs and useful work of each run of a netlist."""

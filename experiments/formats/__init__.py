"""Comparisons of activation and weight formats."""

"""Comparisons of activation and weight formats, and statistics of captured traces."""

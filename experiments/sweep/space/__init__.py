"""Combinations of a sweep and its rows, in columns: no object of a point."""

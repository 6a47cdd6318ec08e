"""Explanations, plots and limits of a result."""

"""Traces: activations captured from real models, and their files."""

"""Activations captured from real models, and their files."""

"""Sweeps: many simulations from one YAML file, resumable, alike on any number of workers."""

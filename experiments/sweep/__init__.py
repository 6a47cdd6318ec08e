"""Sweeps: a grid of simulations from one YAML file, resumable, alike on any number of workers."""

from .run import run_sweep, summary_rows
from .spec import Point, SweepSpec, load_spec

__all__ = ["Point", "SweepSpec", "load_spec", "run_sweep", "summary_rows"]

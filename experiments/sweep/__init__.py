"""Sweeps: many simulations from one YAML file, resumable, alike on any number of workers."""

from .executors import DaskExecutor, Executor, LocalExecutor
from .points import TASK_COLUMNS, Point
from .run import run_sweep, undefined_metrics
from .spec import SweepSpec, load_spec, question_names, sweep_schema

__all__ = [
    "TASK_COLUMNS",
    "DaskExecutor",
    "Executor",
    "LocalExecutor",
    "Point",
    "SweepSpec",
    "load_spec",
    "question_names",
    "run_sweep",
    "sweep_schema",
    "undefined_metrics",
]

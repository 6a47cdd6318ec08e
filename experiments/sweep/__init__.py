"""Sweeps: many simulations from one YAML file, resumable, alike on any number of workers."""

from .circuits import with_circuits
from .executors import DaskExecutor, Executor, LocalExecutor
from .points import TASK_COLUMNS, Point, setting_columns
from .results import load_results, pareto_figure, pareto_front, query_frame, query_results, task_numbers
from .run import (
    energies_differ,
    fitting_rows,
    run_sweep,
    summary_rows,
    table_rows,
    undefined_metrics,
    varying_columns,
)
from .spec import SweepSpec, load_spec, question_names, sweep_schema
from .uncertainty import driver_frame, win_frame

__all__ = [
    "TASK_COLUMNS",
    "DaskExecutor",
    "Executor",
    "LocalExecutor",
    "Point",
    "SweepSpec",
    "driver_frame",
    "energies_differ",
    "fitting_rows",
    "load_results",
    "load_spec",
    "pareto_figure",
    "pareto_front",
    "query_frame",
    "query_results",
    "question_names",
    "run_sweep",
    "setting_columns",
    "summary_rows",
    "sweep_schema",
    "table_rows",
    "task_numbers",
    "undefined_metrics",
    "varying_columns",
    "win_frame",
    "with_circuits",
]

"""Reports of the main job (mantissa bits that a real model needs, their savings, and circuit checks) and of sweeps."""

from ..sweep.report import write_sweep_report
from .job import run_report

__all__ = ["run_report", "write_sweep_report"]

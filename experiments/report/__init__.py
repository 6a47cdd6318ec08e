"""Reports: the main job (how many mantissa bits a real model needs, what they save, and whether the circuit agrees), and sweeps."""

from ..sweep.report import write_sweep_report
from .job import run_report

__all__ = ["run_report", "write_sweep_report"]

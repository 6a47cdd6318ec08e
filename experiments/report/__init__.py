"""Reports: the main job (how many mantissa bits a real model needs, what they save, and whether the circuit agrees), and sweeps."""

from .job import run_report
from .sweep_report import write_sweep_report

__all__ = ["run_report", "write_sweep_report"]

"""The main job: how many mantissa bits a real model needs, what they save, and whether the circuit agrees."""

from .job import run_report

__all__ = ["run_report"]

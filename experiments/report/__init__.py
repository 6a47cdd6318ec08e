"""Reports of the main job: the mantissa bits that a real model needs, their savings, and checks of the circuits."""

from .job import run_report

__all__ = ["run_report"]

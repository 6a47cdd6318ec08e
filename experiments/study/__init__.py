"""Sensitivity studies like those of the Anda paper (arXiv 2411.15982), on models that run here.

* ``fig5``: loss by group size and mantissa bits.
* ``fig6``: loss of several models by mantissa bits.
* ``fig7``: loss when one module alone is narrow, the others FP16.
* ``table2``: FP16 weights, weight-only, FIGNA, VS-Quant, and Anda at tolerances of 0.1 % and 1 %.
* ``arithmetic``: Anda values multiplied in float32 against the circuit's sums of groups, rounded to FP16 or FP32.

Losses are relative increases of the perplexity over the same model with INT4 weights and FP16 activations, in percent,
signed, paired on the same tokens; standard errors are over the blocks. All are measured on held-out articles; the
precisions of Anda in ``table2`` are searched on the others.
"""

from .figures import study_figure
from .measure import StudySettings, run_study, study_names

__all__ = ["StudySettings", "run_study", "study_figure", "study_names"]

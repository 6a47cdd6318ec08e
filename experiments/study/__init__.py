"""Sensitivity studies like those of the Anda paper (arXiv 2411.15982), on models that run here.

* ``fig5``: loss by group size and mantissa bits.
* ``fig6``: loss of several models by mantissa bits.
* ``fig7``: loss when one module has few mantissa bits and the others stay in FP16.
* ``table2``: FP16 weights, weight-only, FIGNA, VS-Quant, and Anda at tolerances of 0.1 % and 1 %.
* ``arithmetic``: float32 products of Anda values compared with the circuit's group sums, rounded to FP16 or FP32.

A loss is the relative increase of the perplexity over the same model with INT4 weights and FP16 activations, in percent.
It is signed and paired on the same tokens; its standard error is over the blocks. All losses are measured on held-out
articles. The Anda precisions of ``table2`` are searched on the calibration articles.
"""

"""Choices that formats, circuits and searches share: one definition of each name."""

from typing import Literal

Rounding = Literal["truncate", "nearest"]
"""``truncate`` cuts the bits that do not fit. ``nearest`` rounds to nearest, ties to even."""

Reconstruct = Literal["truncate", "midpoint"]
"""Value of a cut mantissa m: ``truncate`` takes m, ``midpoint`` takes ``m + 1/2`` where m > 0."""

Nonfinite = Literal["raise", "saturate"]
"""``raise`` refuses infinities and NaN, ``saturate`` takes the largest finite magnitude with the same sign."""

Partial = Literal["fp16", "fp32"]
"""Type to which a segment's integer sum is rounded before it is scaled."""

Shortening = Literal[Reconstruct, "nearest"]
"""Shortening of mantissas: cut with one of the reconstructions, or rounded to nearest when encoded."""

GroupSum = Literal["float", Partial]
"""Arithmetic of a group's sum: float32 products of Anda values, or the circuit's integer sum, rounded to `Partial`."""

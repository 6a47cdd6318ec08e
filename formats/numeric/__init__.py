"""FP16 fields and alignment to a shared exponent."""

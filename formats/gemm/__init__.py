"""FP-INT GeMM: Anda activations times integer weights."""

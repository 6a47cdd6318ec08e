"""SpQR (arXiv 2306.03078): format, memory layout, quantiser."""

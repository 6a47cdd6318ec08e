"""Parts that all SimPy processes share."""

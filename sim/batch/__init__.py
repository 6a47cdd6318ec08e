"""Cost of many machines, precisions and models at once, by a compiled kernel."""

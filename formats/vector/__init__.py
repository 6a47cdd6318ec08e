"""Functions, commands and programs of the vector unit, bit for bit."""

"""The vector unit's functions, commands and programs, bit for bit."""

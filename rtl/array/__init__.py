"""Matrix unit, dispatchers, buffers, engine."""

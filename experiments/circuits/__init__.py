"""Runs of circuits on captured traces, compared with the number format and the timing model."""

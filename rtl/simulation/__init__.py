"""Simulators of circuits and what drives them."""

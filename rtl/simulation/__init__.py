"""Simulators of circuits, and the payloads and memories that they use."""

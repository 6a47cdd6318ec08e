"""Energy and area."""

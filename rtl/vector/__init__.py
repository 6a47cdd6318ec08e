"""Vector unit."""

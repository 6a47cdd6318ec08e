"""Cell libraries in the Liberty format."""

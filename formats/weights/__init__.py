"""Weight formats and their quantisers."""

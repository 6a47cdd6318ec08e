"""Decoders from files and checkpoint folders; requantised, trained and random ones."""

"""Decoders from files and folders, requantised, trained, or of random numbers."""

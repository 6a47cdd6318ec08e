"""Dataflows of the array: what the elements hold, what streams past them, and the cycles that this takes."""

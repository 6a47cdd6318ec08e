"""Adders, multipliers, converters and their pipelines."""

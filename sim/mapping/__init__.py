"""Mappings of a GeMM onto a machine, and those that can be best."""

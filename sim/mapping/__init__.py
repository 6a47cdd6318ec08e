"""Mappings of a GeMM onto a machine and the search for the best."""

"""Figures and tables of the paper: published values beside this program's."""

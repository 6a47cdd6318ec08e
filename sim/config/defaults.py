"""Names that stand where none is given; this module imports nothing, so that the command line knows them at once."""

DEFAULT_TECHNOLOGY = "paper-16nm"
"""The technology with the paper's published figures."""

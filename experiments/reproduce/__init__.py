"""The figures and tables of the Anda paper (arXiv 2411.15982): published values compared with those of this program."""

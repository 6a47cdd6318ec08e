"""Synthesis of circuits: jobs, and tables and figures of the results."""

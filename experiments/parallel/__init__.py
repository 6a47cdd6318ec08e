"""Executors of batches, and evaluations on a cluster."""

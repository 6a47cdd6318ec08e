"""Algorithm 1 of the Anda paper and searches beyond it."""

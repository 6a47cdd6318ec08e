"""Perplexity and its statistics."""

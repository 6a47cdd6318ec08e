"""Evaluation of a model at one precision: perplexity by the papers' protocols, and zero-shot tasks."""

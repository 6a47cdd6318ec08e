"""I-LLM models (arXiv 2405.17849)."""

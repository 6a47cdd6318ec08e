"""Models that compute in integers alone (I-LLM, arXiv 2405.17849)."""

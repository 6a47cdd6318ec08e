"""Text and tokenizers."""

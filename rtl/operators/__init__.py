"""Weight decoders and integer-only operators."""

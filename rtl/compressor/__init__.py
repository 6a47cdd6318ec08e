"""Bit-plane compressor."""

"""Anda format: encoder, decoder, bit-planes, memory image, kernels."""

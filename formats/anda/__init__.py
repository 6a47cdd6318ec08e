"""The Anda format: encode, decode, bit-planes, memory image, kernels."""

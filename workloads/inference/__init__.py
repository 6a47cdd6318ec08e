"""Forward pass: the decoder in NumPy and torch, activation hooks, fake quantisation."""

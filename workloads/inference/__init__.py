"""The decoder, its hooks, fake quantisation."""

"""Model shapes, checkpoints, parameters, lists of GeMMs."""

"""Model shapes, precisions, parameters, lists of GeMMs."""

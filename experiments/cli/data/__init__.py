"""Commands on models, formats, quantised weights and traces."""

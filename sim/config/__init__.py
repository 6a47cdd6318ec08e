"""Architectures, technologies and weight formats from YAML."""

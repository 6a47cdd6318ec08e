"""Whole models: attention, vector unit, layers."""

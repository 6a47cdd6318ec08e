"""Testbenches."""

"""Circuits run and checked on traces."""

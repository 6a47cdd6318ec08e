"""Activation formats compared with Anda: one protocol and one registry."""

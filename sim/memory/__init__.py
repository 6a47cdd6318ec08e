"""DRAM models."""

"""Cycle counts that the circuits take and the simulator computes with: the one place for both."""

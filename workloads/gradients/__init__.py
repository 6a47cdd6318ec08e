"""Backward pass, Hessians and Fisher information."""

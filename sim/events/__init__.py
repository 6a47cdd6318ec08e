"""Level `events`: SimPy processes of any machine."""

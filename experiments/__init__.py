"""Questions: the main job, sweeps, reports and the command line."""

"""Level `cycle`: the circuit's program, cycle for cycle."""

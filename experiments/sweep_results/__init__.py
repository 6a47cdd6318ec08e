"""Questions about the results of a sweep: SQL, fronts, wins under uncertain constants, circuits, tables and reports."""

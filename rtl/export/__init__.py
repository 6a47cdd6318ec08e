"""Export folders: a circuit with testbenches, vectors, constraints and a page, for other tools than this project's own."""

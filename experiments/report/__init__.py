"""Report of the main job: mantissa bits that a real model needs, their savings, and circuit checks."""

"""The schedule of a mapping: strips, their addresses, the order of loads, and the steps of the array."""

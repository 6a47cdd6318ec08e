"""The circuits, in Amaranth, with testbenches and Verilog output."""

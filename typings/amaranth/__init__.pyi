# The part of Amaranth that `rtl/` uses, for the type checker: the package itself carries no annotations.

"""How the combinations of a sweep are taken."""

from collections.abc import Collection
from typing import Literal

from pydantic import Field

from ....formats import InputError
from ....formats.documents.schema import Config
from .combinations import GRID_LIMIT
from .values import Names


class Sampling(Config):
    """The combinations of a sweep: all of them, a sample, or a search."""

    method: Literal["grid", "random", "latin-hypercube", "search"] = "grid"
    points: int | None = Field(default=None, ge=1, le=GRID_LIMIT)
    """Samples; all combinations of the dimensions under `for_each` are taken at each. In a search: the budget."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    minimise: Names = ()
    """Columns that a search minimises together; ``-name`` where larger is better."""
    for_each: Names = ()
    """Dimensions that are not sampled: ``archs``, ``technology.dram.energy``."""

    def check(self, dimensions: Collection[str]) -> None:
        """Refuse a grid or a sample of these dimensions that cannot be taken.

        Raises
        ------
        InputError
            A field is missing, or has no meaning.
        """
        if self.minimise:
            raise InputError(f"sampling.minimise: a {self.method} sample minimises nothing; use method: search")
        if unknown := sorted(set(self.for_each) - set(dimensions)):
            raise InputError(
                f"sampling.for_each: {unknown[0]!r} is not a dimension; use one of {', '.join(dimensions)}"
            )
        if self.method == "grid":
            for name in ("points", "seed", "for_each"):
                if getattr(self, name) != Sampling.model_fields[name].default:
                    raise InputError(f"sampling.{name}: a grid takes every combination; use random or latin-hypercube")
        elif self.points is None:
            raise InputError(f"sampling.points: is missing; say how many samples {self.method} takes")

"""A sweep file: its checked fields, and the points that they describe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...sim.config.yaml_config import config_names, find_config, load_config
from .evaluation import LOSS_COLUMNS
from .fields import SweepFields
from .points import INFERENCE_COLUMNS, RESULT_COLUMNS, Point
from .stream import PointStream

QUESTIONS = Path(__file__).with_name("questions")


class SweepSpec(SweepFields):
    """A sweep. Every combination of values is a point; on architectures of fixed width, precisions count once.

    A field is one value, a list, ``{from, to, step}`` or, spaced by equal ratios, ``{from, to, points}``.
    """

    def points(self) -> list[Point]:
        """All points that meet the constraints on inputs, in the order of the file's lists, or as sampled.

        Raises
        ------
        InputError
            Something named does not exist, a formula is wrong, or there is no point at all.
        """
        stream = self.stream()
        return list(stream.block(stream.numbers()).points())

    def stream(self) -> PointStream:
        """The points of a grid or a sample, as columns; its values and formulas are checked.

        Raises
        ------
        InputError
            Something named does not exist, a formula is wrong, or the grid is too large.
        """
        dimensions = self.dimensions()
        self.check_values()
        self.sampling.check(dimensions)
        stream = PointStream(self)
        self.check_formulas([stream.first])
        return stream

    def asks_for(self, column: str) -> bool:
        """True if a formula, or what a search minimises, names a column."""
        return column in self.formulas.names.union(name.removeprefix("-") for name in self.sampling.minimise)

    def size(self) -> int:
        """Number of points; for a search, its budget."""
        return self.sampling.points or 0 if self.sampling.method == "search" else len(self.stream().numbers())

    def allows(self, point: Point) -> bool:
        """True if a point meets the constraints on inputs, and its settings go together."""
        possible = point.machine_refusal is None and point.request_refusal is None
        return possible and self.formulas.allow(point.columns())

    def check_formulas(self, points: Sequence[Point]) -> dict[str, Any]:
        """Evaluate all formulas once, before anything is simulated: with the inputs of the first point, and results of 1.

        Returns
        -------
        dict
            The columns of that row, derived ones included.

        Raises
        ------
        InputError
            A formula has a name that is not a column or cannot be calculated, a constraint is no condition, or a derived
            column's name is taken.
        """
        columns: dict[str, Any] = dict.fromkeys(self.result_columns(), 1.0) | {"key": ""}
        columns |= {name: value for point in points for name, value in point.columns().items()}
        return self.formulas.check(columns)

    def result_columns(self) -> tuple[str, ...]:
        """Result columns of a row."""
        inference = INFERENCE_COLUMNS if self.prompts != (None,) else ()
        return (*RESULT_COLUMNS, *inference, *(() if self.evaluation is None else LOSS_COLUMNS))


def load_spec(path: Path | str) -> SweepSpec:
    """Read and check a sweep file, or a built-in question by its name.

    Raises
    ------
    InputError
        The file is missing, is not YAML, or has an unknown key or a bad value.
    """
    return load_config(SweepSpec, find_config(path, QUESTIONS, "sweep"), "sweep")


def question_names() -> list[str]:
    """The built-in questions."""
    return list(config_names(QUESTIONS))


def sweep_schema() -> str:
    """The JSON schema of sweep files, for editors."""
    return json.dumps(SweepSpec.model_json_schema(by_alias=True), indent=2)

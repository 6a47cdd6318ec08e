"""Multi-objective search of spaces that are too large for a grid (NSGA-II of Optuna).

The space is that of the sweep file; each dimension is searched over its listed values. A generation is asked for as a
whole, simulated, and told in the order in which it was asked, so that neither the number of workers nor an
interruption changes the search: a rerun asks for the same points and finds those that are finished in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...formats import InputError
from .points import Point

if TYPE_CHECKING:
    import pandas as pd

    from .spec import Choice, SweepSpec

POPULATIONS = 4
"""Generations in a budget, if populations stay within the next two limits."""
LEAST_POPULATION, LARGEST_POPULATION = 4, 64
TRIALS = 50
"""Most choices for each point of the budget; repeated and forbidden choices cost no simulation."""

Simulate = Callable[[Sequence[Point]], "pd.DataFrame"]
"""Rows of points, derived columns included, in their order."""


def search_points(spec: SweepSpec, simulate: Simulate) -> list[Point]:
    """The distinct points that a search visits, at most ``sampling.points``, simulated on the way.

    Raises
    ------
    InputError
        Optuna is missing, there is no budget or objective, an objective is not a column of numbers, or no
        point meets the constraints on inputs.
    """
    budget = spec.sampling.points
    if budget is None:
        raise InputError("sampling.points: is missing; say how many points the search may simulate")
    if not spec.sampling.minimise:
        raise InputError("sampling.minimise: is empty; name the columns to minimise, such as energy_total_pj")
    population = min(max(budget // POPULATIONS, LEAST_POPULATION), LARGEST_POPULATION, budget)
    if spec.sampling.for_each:
        raise InputError("sampling.for_each: has no meaning in a search; leave it out")
    study = _Study(spec, population)
    first = spec.point({name: values[0] for name, values in spec.dimensions().items()})
    spec.check_values()
    _check_objectives(spec, spec.check_formulas([first]))
    visited: dict[Point, tuple[float, ...] | None] = {}
    trials = 0
    while len(visited) < budget and trials < TRIALS * budget:
        asked = [study.ask() for _ in range(population)]
        trials += len(asked)
        new = list(dict.fromkeys(p for _, p in asked if p is not None and p not in visited))[: budget - len(visited)]
        if new:
            visited |= zip(new, objectives(spec, simulate(new)), strict=True)
        for trial, point in asked:
            study.tell(trial, visited.get(point) if point is not None else None)
    if not visited:
        raise InputError("constraints: no point meets them all; loosen one or vary more")
    return list(visited)


def _check_objectives(spec: SweepSpec, columns: Mapping[str, Any]) -> None:
    """Refuse an objective that is not a column of numbers, before anything is simulated."""
    numbers = [name for name, value in columns.items() if isinstance(value, int | float)]
    for name in spec.sampling.minimise:
        if name.removeprefix("-") not in numbers:
            raise InputError(f"sampling.minimise: {name!r} is not a column of numbers; use one of {', '.join(numbers)}")


def objectives(spec: SweepSpec, frame: pd.DataFrame) -> list[tuple[float, ...] | None]:
    """Objectives of each row; None where a constraint is not met or an objective is not a number."""
    columns = {str(name): frame[name].to_numpy() for name in frame.columns}
    kept = np.ones(len(frame), dtype=bool)
    for formula in spec.constraint_formulas():
        kept &= np.asarray(formula.holds(columns))
    costs = np.column_stack([cost_column(frame, name, "sampling.minimise") for name in spec.sampling.minimise])
    kept &= np.isfinite(costs).all(axis=1)
    return [tuple(map(float, cost)) if good else None for cost, good in zip(costs, kept, strict=True)]


def cost_column(frame: pd.DataFrame, name: str, field: str = "pareto") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column to minimise; ``-name`` is its negative.

    Raises
    ------
    InputError
        It does not exist or holds no numbers; the message starts with `field`.
    """
    sign, column = (-1.0, name[1:]) if name.startswith("-") else (1.0, name)
    numbers = [str(c) for c in frame.columns if np.issubdtype(frame[c].to_numpy().dtype, np.number)]
    if column not in numbers:
        raise InputError(f"{field}: {column!r} is not a column of numbers; use one of {', '.join(numbers)}")
    return sign * frame[column].to_numpy(dtype=np.float64)


class _Study:
    """Optuna's study over the choices of a sweep file."""

    def __init__(self, spec: SweepSpec, population: int) -> None:
        try:
            import optuna
        except ImportError:
            raise InputError("sampling.method: search needs Optuna; pip install 'anda-codesign[search]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec = spec
        self._failed = optuna.trial.TrialState.FAIL
        self._dimensions = spec.dimensions()
        self._distributions = {name: _distribution(values) for name, values in self._dimensions.items()}
        sampler = optuna.samplers.NSGAIISampler(seed=spec.sampling.seed, population_size=max(population, 2))
        directions = [optuna.study.StudyDirection.MINIMIZE] * len(spec.sampling.minimise)
        self._study: Any = optuna.create_study(directions=directions, sampler=sampler)

    def ask(self) -> tuple[Any, Point | None]:
        """Ask for a trial and its point; None if constraints on inputs forbid it."""
        trial = self._study.ask(self._distributions)
        choice: Choice = {name: values[trial.params[name]] for name, values in self._dimensions.items()}
        point = self._spec.point(choice)
        return trial, point if self._spec.allows(point) else None

    def tell(self, trial: Any, values: tuple[float, ...] | None) -> None:
        """Record the outcome; None for a point that constraints forbid."""
        if values is None:
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, values)


def _distribution(values: Sequence[Any]) -> Any:
    """Distribution over the indices of a dimension's values, ordered if they are numbers."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if all(isinstance(value, int | float) for value in values):
        return IntDistribution(0, len(values) - 1)
    return CategoricalDistribution(tuple(range(len(values))))

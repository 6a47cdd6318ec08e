"""Multi-objective search of spaces that are too large for a grid: Optuna's Parzen estimator and Pareto local search in turn.

The space is that of the sweep file; each dimension is searched over its listed values. A generation is asked for as a
whole, simulated, and told in the order in which it was asked, so that neither the number of workers nor an
interruption changes the search: a rerun asks for the same points and finds those that are finished in the store. No
point is asked for twice. Points that constraints forbid are told as such, so that the search learns where they are.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...formats import InputError
from .points import Point

if TYPE_CHECKING:
    import pandas as pd

    from .fields import Choice
    from .spec import SweepSpec

GENERATION = 4
"""Points that are asked for before the next ones are told; workers share them."""
STARTUP_SHARE, LEAST_STARTUP, MOST_STARTUP = 0.2, 10, 24
"""Random points before the estimator starts: this share of the budget, within limits."""
TRIALS = 50
"""Most choices for each point of the budget; forbidden choices cost no simulation."""
CANDIDATES = 128
"""Choices that the estimator draws for a point, of which it takes the most promising."""
STEPS = 200
"""Most random changes of a choice that was asked for before, until it is new."""

Simulate = Callable[[Sequence[Point]], "pd.DataFrame"]
"""Rows of the points that can be simulated, derived columns included, in their order."""


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
    if spec.sampling.for_each:
        raise InputError("sampling.for_each: has no meaning in a search; leave it out")
    study = _Study(spec, budget)
    first = spec.point({name: values[0] for name, values in spec.dimensions().items()})
    spec.check_values()
    _check_objectives(spec, spec.check_formulas([first]))
    visited: dict[Point, tuple[float, ...] | None] = {}
    trials = 0
    while len(visited) < budget and trials < TRIALS * budget:
        asked = study.ask(min(GENERATION, budget - len(visited)))
        if not asked:
            break  # every combination was asked for
        trials += len(asked)
        new = list(dict.fromkeys(point for _, point in asked if point is not None and point not in visited))
        if new:
            frame = simulate(new)
            costs = dict(zip(frame["key"], objectives(spec, frame), strict=True))
            visited |= {point: costs.get(point.key) for point in new}
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
    for formula in spec.formulas.conditions:
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
    """Optuna's study over the choices of a sweep file; it never asks for a choice twice."""

    def __init__(self, spec: SweepSpec, budget: int) -> None:
        try:
            import optuna
        except ImportError:
            raise InputError("sampling.method: search needs Optuna; pip install 'anda-codesign[search]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec = spec
        self._dimensions = spec.dimensions()
        self._distributions = {name: _distribution(values) for name, values in self._dimensions.items()}
        self._asked: set[tuple[int, ...]] = set()
        self._random = random.Random(spec.sampling.seed)
        self._front: dict[tuple[int, ...], tuple[float, ...]] = {}
        self._startup = min(max(int(STARTUP_SHARE * budget), LEAST_STARTUP), MOST_STARTUP, budget)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # constraints_func is the one that Optuna 4 and 5 both have
            sampler = optuna.samplers.TPESampler(
                seed=spec.sampling.seed,
                multivariate=True,
                constant_liar=True,
                n_startup_trials=self._startup,
                n_ei_candidates=CANDIDATES,
                constraints_func=lambda trial: (trial.user_attrs["violation"],),
            )
        directions = [optuna.study.StudyDirection.MINIMIZE] * len(spec.sampling.minimise)
        self._study: Any = optuna.create_study(directions=directions, sampler=sampler)

    def ask(self, count: int) -> list[tuple[Any, Point | None]]:
        """Ask for trials and their points, None for a point that constraints on inputs forbid; fewer if no more exist."""
        found: list[tuple[Any, Point | None]] = []
        while len(found) < count and len(self._asked) < math.prod(map(len, self._dimensions.values())):
            if (near := self._near_front()) is not None:
                self._study.enqueue_trial(near)
            trial = self._study.ask(self._distributions)
            if self._places(trial.params) in self._asked:
                other = self._changed(trial.params)
                self._tell_again(trial)
                if other is None:
                    break
                self._study.enqueue_trial(other)
                trial = self._study.ask(self._distributions)
            self._asked.add(self._places(trial.params))
            choice: Choice = {name: values[trial.params[name]] for name, values in self._dimensions.items()}
            point = self._spec.point(choice)
            found.append((trial, point if self._spec.allows(point) else None))
        return found

    def tell(self, trial: Any, values: tuple[float, ...] | None) -> None:
        """Record the outcome; None for a point that constraints forbid."""
        if values is not None:
            self._add_to_front(self._places(trial.params), values)
        trial.set_user_attr("violation", float(values is None))
        self._study.tell(trial, values or [float("inf")] * len(self._spec.sampling.minimise))

    def _add_to_front(self, places: tuple[int, ...], values: tuple[float, ...]) -> None:
        if any(all(a <= b for a, b in zip(own, values, strict=True)) for own in self._front.values()):
            return
        kept = {p: own for p, own in self._front.items() if any(a < b for a, b in zip(own, values, strict=True))}
        self._front = kept | {places: values}

    def _near_front(self) -> dict[str, int] | None:
        """For every second point after the first random ones: a new choice one step from one on the front, if there is one.

        Steps from the front reach its ends, where an estimator of few points seldom looks (Pareto local search, Paquete et al.
        2004).
        """
        if len(self._asked) < self._startup or len(self._asked) % 2:
            return None
        order = self._random.sample(list(self._front), len(self._front))
        turn = len(self._asked) // 2 % (len(self._study.directions) + 1)
        if turn:
            order.sort(key=lambda places: self._front[places][turn - 1])
        for places in order:
            steps = [own for own in self._steps(places) if own not in self._asked]
            if steps:
                return dict(zip(self._dimensions, self._random.choice(steps), strict=True))
        return None

    def _steps(self, places: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Choices that differ in one dimension: by one value where values are ordered, else by any."""
        for index, values in enumerate(self._dimensions.values()):
            own = places[index]
            others = (own - 1, own + 1) if _is_ordered(values) else range(len(values))
            for other in others:
                if 0 <= other < len(values) and other != own:
                    yield (*places[:index], other, *places[index + 1 :])

    def _tell_again(self, trial: Any) -> None:
        """End a trial that repeats an earlier one; it teaches nothing."""
        from optuna.trial import TrialState

        trial.set_user_attr("violation", 0.0)
        self._study.tell(trial, state=TrialState.FAIL)

    def _places(self, choice: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(choice[name] for name in self._dimensions)

    def _changed(self, choice: Mapping[str, int]) -> dict[str, int] | None:
        """A choice near another that was not asked for; None if none is found."""
        own = dict(choice)
        for _ in range(STEPS):
            name = self._random.choice(list(self._dimensions))
            own[name] = self._random.randrange(len(self._dimensions[name]))
            if self._places(own) not in self._asked:
                return own
        places = itertools.product(*(range(len(values)) for values in self._dimensions.values()))
        left = next((own for own in places if own not in self._asked), None)
        return None if left is None else dict(zip(self._dimensions, left, strict=True))


def _distribution(values: Sequence[Any]) -> Any:
    """Distribution over the indices of a dimension's values, ordered if they are numbers."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return IntDistribution(0, len(values) - 1) if _is_ordered(values) else CategoricalDistribution(range(len(values)))


def _is_ordered(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)

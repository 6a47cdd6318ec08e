import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from anda_codesign.experiments.precision_search.search import SearchProblem, SearchResult
from anda_codesign.experiments.precision_search.search_space import START_MANTISSA_BITS, lowered
from anda_codesign.formats import InputError
from anda_codesign.workloads import Precision, bops, model_shape

OPT_125M = model_shape("OPT-125M")
START = [Precision.uniform(bits) for bits in START_MANTISSA_BITS]
PAPER = json.loads(Path("experiments/paper/anda_hpca2025.json").read_text())


def opt_bops(precision: Precision) -> int:
    return bops(OPT_125M, precision)


def precision_search(
    loss: Callable[[Precision], float], tolerance: float, iterations: int = 32
) -> SearchResult[Precision]:
    return SearchProblem(opt_bops, loss, tolerance).best_first(START, lowered, iterations)


def test_visits_the_published_precisions_in_order():
    """Fig. 9 prints ten precisions and marks those that became the best; the others lost more than 1 %."""
    published = PAPER["fig9_opt125m_search_1%"]
    within = {Precision(*map(int, text[:4])) for text in published if text.endswith("*")}
    result = precision_search(lambda p: 0.0 if p in within else 1.0, tolerance=0.01)
    visited = ["".join(map(str, step.candidate)) + "*" * step.best for step in result.history]
    assert visited[:10] == published


def losses(precision: Precision) -> float:
    """A loss with a negative region and an edge, as measured ones have."""
    weights = {"qkv": 1.0, "o": 0.1, "u": 1.5, "d": 0.5}
    cost = sum(weight * 4.0 ** (7 - bits) for weight, bits in zip(weights.values(), precision, strict=True))
    return 0.003 * cost - 0.002


def test_best_is_within_tolerance_and_no_neighbour_is_better():
    result = precision_search(losses, tolerance=0.01)
    best = result.best
    assert best is not None
    assert best.loss == losses(best.candidate) <= 0.01
    assert best.cost == opt_bops(best.candidate) == min(step.cost for step in result.history if step.best)
    for module in ("qkv", "o", "u", "d"):
        lower = best.candidate._asdict() | {module: getattr(best.candidate, module) - 1}
        assert losses(Precision(**lower)) > 0.01


def test_optimum_of_a_separable_loss():
    result = precision_search(losses, tolerance=0.01)
    choices = (Precision(*bits) for bits in itertools.product(range(1, 14), repeat=4))
    optimum = min((p for p in choices if losses(p) <= 0.01), key=opt_bops)
    assert result.best is not None
    assert result.best.cost == opt_bops(optimum)


def test_no_precision_is_evaluated_twice():
    visited: list[Precision] = []
    precision_search(lambda p: visited.append(p) or losses(p), tolerance=0.01)
    assert len(set(visited)) == len(visited)


def test_loss_need_not_be_monotone():
    """6,6,6,6 is good although 7,7,7,7 is bad: the cheaper one is found first and kept."""
    result = precision_search(lambda p: 0.0 if p == (6, 6, 6, 6) else 1.0, tolerance=0.01)
    assert result.best is not None
    assert result.best.candidate == (6, 6, 6, 6)


def test_iterations_are_limited():
    result = precision_search(losses, tolerance=0.01, iterations=3)
    assert [step.candidate for step in result.history] == [(4, 4, 4, 4), (5, 5, 5, 5), (6, 6, 6, 6)]
    assert result.best is None
    assert result.iterations == 3


def test_stops_at_one_bit():
    result = precision_search(lambda _: 0.0, tolerance=0.0, iterations=1000)
    assert result.best is not None
    assert result.best.candidate == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": -0.01}, "tolerance: -0.01"),
        ({"tolerance": float("nan")}, "tolerance: nan is not valid"),
        ({"tolerance": 0.01, "iterations": 0}, "iterations: 0"),
    ],
)
def test_bad_input(arguments: dict[str, float], message: str):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        precision_search(losses, **arguments)  # type: ignore[arg-type]

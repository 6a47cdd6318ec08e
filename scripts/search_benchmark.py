"""Print how much of the best hypervolume the sweep search finds on toy spaces, beside random points of the same number.

``python scripts/search_benchmark.py --points 50,150,600 --seeds 5`` takes an hour on one core; 50 and 150 a few minutes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anda_codesign.experiments.markdown import markdown_table
from anda_codesign.experiments.sweep.points import Point
from anda_codesign.experiments.sweep.search import search_points
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.workloads import Precision
from numpy.typing import NDArray

Objectives = Callable[[NDArray[np.float64]], Sequence[float]]
VALUES = 6
"""Values of each of the four dimensions: 1,296 combinations."""
WEIGHTS = np.array([1.0, 0.1, 1.5, 0.5])
MARGIN = 1.05
"""Reference point of the hypervolume, in ranges of the objectives."""


def loss_and_cost(x: NDArray[np.float64]) -> Sequence[float]:
    """A loss that falls fourfold for each bit, and a cost by bits, as mantissa widths have."""
    return float(WEIGHTS @ 4.0**-x), float(x @ [2.0, 1.0, 3.0, 1.0])


def rugged(x: NDArray[np.float64]) -> Sequence[float]:
    """Two bowls with ripples."""
    first = ((x - 1) ** 2).sum() + 2 * np.sin(3 * x).sum()
    return float(first), float(((x - 4) ** 2).sum() + 2 * np.cos(5 * x).sum())


def area_and_time(x: NDArray[np.float64]) -> Sequence[float]:
    """Area and time of an array and a buffer in powers of two, with a setting that only costs time."""
    array, buffer = 2 ** (x[0] + x[1]), 2 ** x[2]
    return float(0.3 * array + buffer), float(64 / array + 8 / buffer + 0.5 * abs(x[3] - 3))


def three_objectives(x: NDArray[np.float64]) -> Sequence[float]:
    """Loss, cost, and how uneven the widths are."""
    return float(WEIGHTS @ 4.0**-x), float(x.sum()), float(np.abs(x - x.mean()).sum())


SPACES: dict[str, tuple[Objectives, str | None]] = {
    "loss and cost": (loss_and_cost, None),
    "rugged": (rugged, None),
    "area and time": (area_and_time, None),
    "three objectives": (three_objectives, None),
    "constrained": (loss_and_cost, "mantissa_bits_qkv >= mantissa_bits_o and mantissa_bits_u + mantissa_bits_d >= 12"),
}


def space_spec(constraint: str | None, objectives: int, points: int, seed: int) -> SweepSpec:
    """The sweep of a toy space; its derived columns stand for the objectives."""
    widths = {"from": 4, "to": 3 + VALUES}
    fields: dict[str, Any] = {
        "models": "OPT-125M",
        "archs": "anda",
        "modules": dict.fromkeys(("qkv", "o", "u", "d"), widths),
        "derived": {f"y{index}": "mantissa_bits_qkv" for index in range(objectives)},
        "constraints": [constraint] if constraint else [],
        "sampling": {
            "method": "search", "points": points, "seed": seed, "minimise": [f"y{i}" for i in range(objectives)],
        },
    }  # fmt: skip
    return SweepSpec(**fields)


def found_by_search(spec: SweepSpec, function: Objectives) -> NDArray[np.float64]:
    """Objectives of the points that the search visits, ``[points, objectives]``."""
    seen: list[Sequence[float]] = []

    def simulate(points: Sequence[Point]) -> pd.DataFrame:
        values = [function(_place(point)) for point in points]
        seen.extend(values)
        inputs = pd.DataFrame([{"key": point.key} | point.columns() for point in points])
        return inputs.assign(**{f"y{i}": [own[i] for own in values] for i in range(len(values[0]))})

    search_points(spec, simulate)
    return np.array(seen)


def _place(point: Point) -> NDArray[np.float64]:
    return np.array(Precision.parse(str(point.precision)), dtype=np.float64) - 4


def hypervolume(costs: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Volume that two or three costs dominate, up to the reference point."""
    costs = costs[(costs < reference).all(axis=1)]
    if costs.shape[1] == 2:
        volume, height = 0.0, reference[1]
        for x, y in costs[np.lexsort((costs[:, 1], costs[:, 0]))]:
            if y < height:
                volume += (reference[0] - x) * (height - y)
                height = y
        return float(volume)
    levels = np.unique(costs[:, 2])
    slabs = zip(levels, np.append(levels[1:], reference[2]), strict=True)
    return sum(hypervolume(costs[costs[:, 2] <= low, :2], reference[:2]) * (high - low) for low, high in slabs)


def compare(name: str, points: int, seeds: int) -> tuple[float, float]:
    """Mean share of the best hypervolume that random points and the search find."""
    function, constraint = SPACES[name]
    every = [np.array(x, dtype=np.float64) for x in itertools.product(range(VALUES), repeat=4)]
    if constraint:
        every = [x for x in every if x[0] >= x[1] and x[2] + x[3] + 8 >= 12]
    costs = np.array([function(x) for x in every])
    low, span = costs.min(axis=0), np.ptp(costs, axis=0)
    reference = np.full(costs.shape[1], MARGIN)

    def share(found: NDArray[np.float64]) -> float:
        return hypervolume((found - low) / span, reference) / hypervolume((costs - low) / span, reference)

    chance, search = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        chance.append(share(costs[rng.permutation(len(costs))[:points]]))
        search.append(share(found_by_search(space_spec(constraint, costs.shape[1], points, seed), function)))
    return float(np.mean(chance)), float(np.mean(search))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", default="50,150,600")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    rows: list[list[str]] = []
    for name in SPACES:
        for points in map(int, asked.points.split(",")):
            chance, search = compare(name, points, asked.seeds)
            rows.append([name, str(points), f"{chance:.3f}", f"{search:.3f}"])
            print(*rows[-1], file=sys.stderr, flush=True)
    print(markdown_table(["space", "points", "random", "search"], rows, 1))


if __name__ == "__main__":
    main()

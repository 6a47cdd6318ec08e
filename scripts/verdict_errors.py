"""Print the simulated error rates of the verdicts: the old rule, Student's t, robust tests and the program's.

The blocks have a true loss exactly at the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from anda_codesign.experiments.markdown import markdown_table
from anda_codesign.workloads.evaluation.sequential import LEAST_BLOCKS, STAGES, critical_value
from anda_codesign.workloads.evaluation.statistics import (
    is_skewed,
    johnson_margin,
    student_quantile,
    with_worse_block,
)
from numpy.typing import NDArray

TOLERANCE = 0.01
SPREAD = 0.015
"""Standard deviation of a block's loss: that of SmolLM2-135M at M = 7, blocks of 512 tokens."""
BLOCKS = 64
REAL = (
    0.722, -0.332, -1.73, 1.371, -0.983, 0.325, -1.985, 1.378, 0.595, 1.546, 1.741, 1.577, -1.229, 2.434, 3.11, 3.218,
    1.554, 1.755, 2.259, 0.661, 1.248, -0.143, 0.023, 1.828, 1.0, 1.198, -0.504, 0.082, 0.436, -0.511, 3.229, -1.126,
)  # fmt: skip
"""Measured losses of blocks in percent: SmolLM2-135M at M = 7, the first 32 of 64 held-out blocks of 512 tokens in the order
of `spread_order` (``python scripts/accuracy_table.py --blocks 32 7``)."""
Blocks: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = Literal["3 standard errors", "t", "Johnson", "empirical Bernstein", "second opinion", "verdict"]
"""Decision rules; the first is that of earlier versions, the last the program's."""
RULES: tuple[Rule, ...] = ("3 standard errors", "t", "Johnson", "empirical Bernstein", "second opinion", "verdict")


def _rare(rate: float, size: float) -> Callable[[np.random.Generator, int], Blocks]:
    """Normal blocks of which a few are worse by `size`."""

    def draw(rng: np.random.Generator, runs: int) -> Blocks:
        shape = (runs, BLOCKS)
        return TOLERANCE - rate * size + SPREAD * rng.standard_normal(shape) + size * (rng.random(shape) < rate)

    return draw


def _lognormal(sigma: float) -> Callable[[np.random.Generator, int], Blocks]:
    return lambda rng, runs: TOLERANCE * np.exp(sigma * rng.standard_normal((runs, BLOCKS)) - sigma**2 / 2)


def _normal(rng: np.random.Generator, runs: int) -> Blocks:
    return TOLERANCE + SPREAD * rng.standard_normal((runs, BLOCKS))


def _t3(rng: np.random.Generator, runs: int) -> Blocks:
    return TOLERANCE + SPREAD / np.sqrt(3) * np.asarray(rng.standard_t(3, (runs, BLOCKS)), dtype=np.float64)


def _real(rng: np.random.Generator, runs: int) -> Blocks:
    """Measured blocks, drawn with replacement and moved to the tolerance."""
    measured = np.array(REAL) / 100
    return TOLERANCE + (measured - measured.mean())[rng.integers(len(measured), size=(runs, BLOCKS))]


CASES: Mapping[str, Callable[[np.random.Generator, int], Blocks]] = MappingProxyType(
    {
        "normal": _normal,
        "t3": _t3,
        "real": _real,
        "lognormal, sigma 0.5": _lognormal(0.5),
        "lognormal, sigma 1": _lognormal(1.0),
        "lognormal, sigma 1.5": _lognormal(1.5),
        "2 % of blocks 20 % worse": _rare(0.02, 0.2),
        "5 % of blocks 10 % worse": _rare(0.05, 0.1),
        "5 % of blocks 20 % worse": _rare(0.05, 0.2),
        "10 % of blocks 10 % worse": _rare(0.1, 0.1),
    }
)
"""Losses of blocks ``[runs, 64]`` with mean `TOLERANCE`, drawn from a generator."""


def error_rates(
    draw: Callable[[np.random.Generator, int], Blocks],
    rule: Rule,
    runs: int = 20_000,
    looks: Sequence[int] = STAGES,
    seed: int = 1,
    shared: int | None = None,
) -> tuple[float, float]:
    """Shares of runs that end in a false ``within`` and in a false ``beyond``.

    Parameters
    ----------
    draw
        Losses of blocks ``[runs, blocks]``, such as one of `CASES`.
    rule
        How a look decides.
    runs
        Number of simulated tests.
    looks
        Numbers of blocks at which the test looks.
    seed
        Seed of the random numbers.
    shared
        Number of looks over which the error is shared; None takes that of `looks`.
    """
    values = draw(np.random.default_rng(seed), runs)
    decided = np.zeros(len(values), np.int8)
    for look in looks:
        within, beyond = _decisions(values[:, :look], rule, shared or len(looks))
        decided[(decided == 0) & within] = 1
        decided[(decided == 0) & beyond] = -1
    return float((decided == 1).mean()), float((decided == -1).mean())


def coverage(blocks: int, t: bool, runs: int = 20_000, seed: int = 1) -> float:
    """Share of normal samples for which mean +- 1 standard error, or the 68.3 % t interval, covers the true mean."""
    values = np.random.default_rng(seed).standard_normal((runs, blocks))
    width = student_quantile(0.5 + 0.6827 / 2, blocks - 1) if t else 1.0
    return float((np.abs(values.mean(axis=1)) <= width * values.std(axis=1, ddof=1) / np.sqrt(blocks)).mean())


Masks: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def _decisions(values: Blocks, rule: Rule, looks: int) -> Masks:
    """Runs that end within, and beyond, at a look: booleans ``[runs]`` each."""
    blocks = values.shape[1]
    if rule == "3 standard errors":
        return _beyond(_margins(values), 3.0)
    critical = critical_value(blocks, looks)
    if blocks < LEAST_BLOCKS:
        return _beyond(np.zeros(len(values)), critical)
    if rule == "t":
        return _beyond(_margins(values), critical)
    if rule == "Johnson":
        return _beyond(johnson_margin(values, TOLERANCE), critical)
    if rule == "empirical Bernstein":
        return _bernstein(values, looks)
    worse = johnson_margin(with_worse_block(values), TOLERANCE)
    upper = np.maximum(johnson_margin(values, TOLERANCE), _margins(values))
    second = worse >= critical, upper <= -critical
    if rule == "second opinion":
        return second
    within, beyond = _beyond(_margins(values), critical)
    return within & (~is_skewed(values) | second[0]), beyond


def _beyond(margins: NDArray[np.float64], critical: float) -> Masks:
    return margins >= critical, margins <= -critical


def _margins(values: Blocks) -> NDArray[np.float64]:
    return (TOLERANCE - values.mean(axis=1)) * np.sqrt(values.shape[1]) / values.std(axis=1, ddof=1)


def _bernstein(values: Blocks, looks: int) -> Masks:
    """Maurer and Pontil's bound (COLT 2009), for values as wide apart as half the range seen."""
    blocks, error = values.shape[1], np.log(4 * looks / 0.01)
    width = 0.5 * (values.max(axis=1) - values.min(axis=1))
    half = np.sqrt(2 * values.var(axis=1, ddof=1) * error / blocks) + 7 * width * error / (3 * (blocks - 1))
    distance = TOLERANCE - values.mean(axis=1)
    return distance >= half, distance <= -half


def cell(rates: tuple[float, float]) -> str:
    """False ``within`` + false ``beyond``, in percent."""
    return " + ".join(f"{100 * rate:.1f}" for rate in rates)


def main() -> None:
    """Print three tables."""
    print("Wrong verdicts by number of blocks, normal blocks, one look (false within + false beyond, %):\n")
    rows = [
        [
            str(blocks),
            *(cell(error_rates(CASES["normal"], rule, looks=(blocks,))) for rule in ("3 standard errors", "verdict")),
        ]
        for blocks in (2, 3, 4, 8, 32, 64)
    ]
    print(markdown_table(["blocks", "3 standard errors (before)", "verdict (now)"], rows, 1))
    print("\nWrong verdicts with looks at 8, 32 and 64 blocks (false within + false beyond, %):\n")
    rows = [[name, *(cell(error_rates(draw, rule)) for rule in RULES)] for name, draw in CASES.items()]
    print(markdown_table(["blocks", *RULES], rows, 1))
    print("\nHow often the printed interval covers the true mean (%), where 68.3 is right:\n")
    rows = [
        [str(blocks), *(f"{100 * coverage(blocks, t):.1f}" for t in (False, True))] for blocks in (2, 3, 4, 8, 32, 64)
    ]
    print(markdown_table(["blocks", "one standard error", "t interval"], rows, 1))


if __name__ == "__main__":
    main()

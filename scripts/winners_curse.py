"""Print how often a precision search ends with a true loss beyond the tolerance, by the rule that accepts its steps.

A toy model of losses: the true loss is known, and the search sees blocks of text. ``python scripts/winners_curse.py``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from anda_codesign.experiments.markdown import markdown_table
from anda_codesign.experiments.precision_search.cost import prepare_cost
from anda_codesign.experiments.precision_search.precision_study import HELDOUT_TESTS, STEP_CONFIDENCE
from anda_codesign.experiments.precision_search.search import SearchProblem
from anda_codesign.experiments.precision_search.search_space import Choice, start_choices
from anda_codesign.workloads.evaluation.sequential import LEAST_BLOCKS, decide, looks_of
from anda_codesign.workloads.evaluation.statistics import Estimate
from anda_codesign.workloads.models.shapes import model_shape
from numpy.typing import NDArray

TOLERANCE = 0.01
SPREAD = 0.015
"""Standard deviation of a block's loss at M = 7: that of SmolLM2-135M, blocks of 512 tokens. It doubles for each bit less."""
CORRELATION = 0.8
"""Of the losses of two precisions on the same blocks; 0.73 to 0.85 on SmolLM2-135M."""
LOSSES = (0.005, 0.02)
"""True losses at M = 7 are drawn between these, evenly on a logarithmic scale."""
RULES = ("measured", "bound")
BLOCKS = (8, 16, 64)
STATED = {
    ("measured", 8): 53,
    ("measured", 16): 42,
    ("measured", 64): 30,
    ("bound", 8): 20,
    ("bound", 16): 15,
    ("bound", 64): 8,
}
"""Shares (%) that an earlier simulation of another toy model gave for the same rules."""
COST = prepare_cost("bops", model_shape("SmolLM2-135M"))


@dataclass
class ToyModel:
    """A model with known losses, measured on normal blocks of text.

    The loss falls fourfold for each bit of a module, the spread of the blocks twofold. A part of the spread is common to
    all precisions, since they see the same text.

    Parameters
    ----------
    rng
        Source of the model and of its text.
    blocks
        Blocks of the calibration text, and of the held-out text.
    """

    rng: np.random.Generator
    blocks: int
    level: float = field(init=False)
    """True loss at M = 7."""
    shares: NDArray[np.float64] = field(init=False)
    """Part of the loss that each module causes ``[4]``."""
    texts: NDArray[np.float64] = field(init=False)
    """Common part of the blocks of calibration and held-out text ``[2, blocks]``."""

    def __post_init__(self) -> None:
        self.level = float(np.exp(self.rng.uniform(*np.log(LOSSES))))
        self.shares = self.rng.dirichlet(np.full(4, 4.0))
        self.texts = self.rng.standard_normal((2, self.blocks))

    def loss(self, choice: Choice) -> float:
        """True loss."""
        return self.level * float(self.shares @ 4.0 ** (7 - np.array(choice.precision)))

    def measure(self, choice: Choice, text: int) -> Estimate:
        """Loss on the first blocks of a text that decide, as in `sequential_test`."""
        own = self.rng.standard_normal(self.blocks)
        noise = CORRELATION**0.5 * self.texts[text] + (1 - CORRELATION) ** 0.5 * own
        loss = self.loss(choice)
        values = loss + SPREAD * (loss / self.level) ** 0.5 * noise
        looks = looks_of(self.blocks)
        estimate = Estimate.mean(values)
        for look in looks:
            estimate = Estimate.mean(values[:look])
            if decide(estimate, TOLERANCE, sum(look >= LEAST_BLOCKS for look in looks)) != "undecided":
                break
        return estimate


@dataclass(frozen=True)
class Outcome:
    """End of one search."""

    beyond: bool
    """True if the true loss of the best precision is beyond the tolerance."""
    claimed: bool
    """True if a precision passed the test on held-out text."""
    claimed_beyond: bool
    """True if that precision is beyond the tolerance."""
    bops: float
    """Bit operations of a token of the best precision."""


def accepted(estimate: Estimate, rule: str) -> bool:
    """True if a search with this rule accepts a measured loss."""
    return (estimate.value if rule == "measured" else estimate.upper_bound(STEP_CONFIDENCE)) <= TOLERANCE


def run_search(rule: str, blocks: int, seed: int) -> Outcome:
    """Search a toy model with Algorithm 1, then test the best precisions on held-out text, the cheapest first."""
    model = ToyModel(np.random.default_rng(seed), blocks)
    measured: dict[Choice, Estimate] = {}

    def loss(choice: Choice) -> float:
        measured[choice] = model.measure(choice, 0)
        return measured[choice].value

    problem = SearchProblem(COST, loss, TOLERANCE, lambda choice: accepted(measured[choice], rule))
    history = problem.best_first(start_choices(), Choice.neighbours).history
    found = [step.candidate for step in reversed(history) if step.best]
    tests = found[:HELDOUT_TESTS]
    claim = next((own for own in tests if accepted(model.measure(own, 1), rule)), None)
    return Outcome(
        model.loss(found[0]) > TOLERANCE,
        claim is not None,
        claim is not None and model.loss(claim) > TOLERANCE,
        COST(found[0]),
    )


def rates(rule: str, blocks: int, runs: int) -> tuple[float, float, float, float]:
    """Shares of searches that end beyond the tolerance, that claim so after the held-out test, and that claim nothing; mean BOPs."""
    ends = [run_search(rule, blocks, seed) for seed in range(runs)]
    means = (
        [e.beyond for e in ends],
        [e.claimed_beyond for e in ends],
        [not e.claimed for e in ends],
        [e.bops for e in ends],
    )
    beyond, claimed, nothing, bops = (float(np.mean(values)) for values in means)
    return beyond, claimed, nothing, bops


def table(runs: int, blocks: Sequence[int] = BLOCKS) -> list[list[str]]:
    """Rows of the table, as text."""
    rows: list[list[str]] = []
    for count in blocks:
        published = rates(RULES[0], count, runs)
        for rule in RULES:
            beyond, claimed, nothing, bops = published if rule == RULES[0] else rates(rule, count, runs)
            shares = [f"{100 * share:.1f}" for share in (beyond, claimed, nothing)]
            more = f"{100 * (bops / published[3] - 1):+.1f}"
            rows.append([str(count), rule, shares[0], str(STATED[rule, count]), *shares[1:], more])
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    titles = [
        "blocks", "accept", "search ends beyond %", "stated %", "claimed and beyond %", "nothing claimed %", "BOPs over measured %",
    ]  # fmt: skip
    print(markdown_table(titles, table(parser.parse_args().runs), 2))


if __name__ == "__main__":
    main()

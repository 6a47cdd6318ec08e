import numpy as np
import pytest
from anda_codesign.workloads.evaluation.sequential import blocks_needed, critical_value, decide, is_accepted, judge
from anda_codesign.workloads.evaluation.statistics import (
    Estimate,
    johnson_margin,
    relative_increases,
    student_cdf,
    student_quantile,
)

from scripts import load_script

SIMULATION = load_script("verdict_errors")
CASES, error_rates = SIMULATION.CASES, SIMULATION.error_rates


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),  # published tables
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.95, 7, 1.895),
        (0.999, 8, 4.501),
        (0.975, 30, 2.042),
        (0.995, 120, 2.617),
    ],
)
def test_quantiles_are_those_of_published_tables(probability: float, degrees: int, quantile: float):
    assert student_quantile(probability, degrees) == pytest.approx(quantile, abs=6e-4)


def test_the_expansion_continues_the_exact_quantiles():
    exact, expansion = student_quantile(0.995, 1000), student_quantile(0.995, 1001)
    assert 0 < exact - expansion < 1e-5


def test_the_distribution_is_that_of_sampled_means(rng: np.random.Generator):
    values = rng.standard_normal((200_000, 5))
    t = values.mean(axis=1) * np.sqrt(5) / values.std(axis=1, ddof=1)
    for bound in (-1.5, 0.4, 2.5):
        assert student_cdf(bound, 4) == pytest.approx((t < bound).mean(), abs=0.005)


@pytest.mark.parametrize("blocks", [2, 3, 4, 8, 32])
def test_an_interval_covers_as_often_as_it_says(rng: np.random.Generator, blocks: int):
    values = rng.standard_normal((4000, blocks))
    estimates = [Estimate.mean(row) for row in values]
    for confidence in (0.68, 0.95):
        covered = np.mean([abs(own.value) <= own.half_width(confidence) for own in estimates])
        assert covered == pytest.approx(confidence, abs=0.025)


def test_errors_are_shared_over_the_looks():
    assert [round(critical_value(blocks, 3), 2) for blocks in (8, 32, 64)] == [4.36, 3.18, 3.05]
    assert critical_value(7) == np.inf


@pytest.mark.parametrize("case", ["normal", "t3", "real"])
def test_wrong_verdicts_at_the_tolerance_are_at_most_the_stated_share(case: str):
    assert sum(error_rates(CASES[case], rule="t", runs=4000)) <= 0.012


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("normal", "t3", "real")])
def test_the_second_opinion_withstands_skewed_and_bad_blocks(case: str):
    false_within, false_beyond = error_rates(CASES[case], rule="second opinion", runs=4000)
    assert false_within <= 0.055
    assert false_beyond <= 0.012


def test_the_vectorised_rules_are_those_of_the_verdict():
    for case in ("normal", "lognormal, sigma 1.5"):
        values = CASES[case](np.random.default_rng(7), 40)
        own = [judge(row[:32], 0.01, 3)[:2] for row in values]
        for place, rule in enumerate(("verdict", "second opinion")):
            rates = error_rates(lambda _rng, _runs, values=values: values, rule=rule, runs=40, looks=(32,), shared=3)
            found = [decisions[place] for decisions in own]
            assert rates == (found.count("within") / 40, found.count("beyond") / 40)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_beyond(value: float):
    bad = np.full(8, 0.001)
    bad[3] = value
    decision, second, warnings = judge(bad, 0.01)
    assert (decision, second) == ("beyond", "beyond")
    assert warnings == ("1 of 8 blocks have no finite value",)
    assert judge(bad[:7], 0.01)[0] == "undecided"


@pytest.mark.parametrize(("value", "decision"), [(0.0, "within"), (0.01, "within"), (0.011, "beyond")])
def test_constant_values(value: float, decision: str):
    assert judge(np.full(8, value), 0.01) == (decision, decision, ())
    assert judge(np.full(7, value), 0.01)[0] == "undecided"


def test_one_block_is_never_accepted():
    assert not is_accepted(Estimate.mean(np.zeros(1)), 0.01)
    assert decide(Estimate.mean(np.zeros(1)), 0.01) == "undecided"


def test_few_blocks_that_carry_the_loss_are_told():
    values = np.zeros(32)
    values[5] = 0.2
    decision, _, (warning,) = judge(values + 1e-4 * np.arange(32), 0.05)
    assert decision == "undecided"
    assert warning.startswith("skewed: the worst 2 of 32 blocks carry 97 %")


def test_johnson_corrects_towards_the_long_tail(rng: np.random.Generator):
    values = np.exp(rng.standard_normal(32))
    plain = (3 - values.mean()) * np.sqrt(32) / values.std(ddof=1)
    assert johnson_margin(values, 3) < plain
    assert johnson_margin(-values, -1) == pytest.approx(-johnson_margin(values, 1))


def test_a_plan_names_the_blocks_that_decide(rng: np.random.Generator):
    needed = blocks_needed(0.015, 0.005)
    assert needed is not None
    decided = [decide(Estimate.mean(rng.normal(0.005, 0.015, needed)), 0.01, looks=3) for _ in range(1000)]
    assert decided.count("within") == pytest.approx(800, abs=40)
    assert blocks_needed(0.015, 0.0) is None
    assert blocks_needed(float("nan"), 0.01) is None


def test_relative_increases_keep_mean_and_spread(rng: np.random.Generator):
    differences = rng.normal(0.1, 0.02, 50)
    values = relative_increases(differences)
    assert values.mean() == pytest.approx(np.expm1(differences.mean()))
    assert values.std() == pytest.approx(np.exp(differences.mean()) * differences.std())

"""The share of searches that end beyond the tolerance, on toy models with known losses."""

from scripts import load_script

CURSE = load_script("winners_curse")


def test_few_searches_end_beyond_the_tolerance_and_hardly_any_claim_so():
    beyond, claimed, nothing, _ = CURSE.rates("bound", 8, 150)
    assert beyond <= 0.25
    assert claimed <= 0.05
    assert nothing <= 0.35


def test_the_published_rule_picks_the_lucky_ones():
    beyond, _, _, bops = CURSE.rates("measured", 8, 150)
    assert beyond > 0.4
    assert 1 < CURSE.rates("bound", 8, 150)[3] / bops < 1.1

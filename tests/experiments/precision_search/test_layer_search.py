import itertools

import numpy as np
import pytest
from anda_codesign.experiments.precision_search.cost import prepare_cost
from anda_codesign.experiments.precision_search.layer_search import (
    Allocation,
    GreedyAllocator,
    Sensitivities,
    layered_activations,
    measure_sensitivities,
    spread,
)
from anda_codesign.experiments.precision_search.loss import Texts
from anda_codesign.experiments.precision_search.precision_study import PrecisionSearch, StudyStep
from anda_codesign.experiments.precision_search.search import SearchStep
from anda_codesign.experiments.precision_search.search_space import PUBLISHED, Choice, Numerics
from anda_codesign.formats import InputError
from anda_codesign.workloads import (
    MODULES,
    AndaActivations,
    LayeredActivations,
    Precision,
    TextBlocks,
    sequential_test,
    synthetic_decoder,
)
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT

DECODER = synthetic_decoder()
BLOCKS = TextBlocks(np.random.default_rng(5).integers(0, 256, (3, 24)).astype(np.int32))
BASE = Precision(6, 5, 6, 7)
COST = prepare_cost("bops", DECODER.shape)


def test_sensitivities_are_those_of_single_changes():
    found = measure_sensitivities(DECODER, BLOCKS, BASE, PUBLISHED)
    assert len(found) == 2 * 4 * 2
    reference = DECODER.nll(BLOCKS.tokens, AndaActivations(BASE)).mean()
    for layer, module, bits in ((0, "qkv", 5), (1, "d", 8), (1, "u", 5)):
        changed = AndaActivations(BASE._replace(**{module: bits}))
        hook = LayeredActivations(AndaActivations(BASE), {layer: changed})
        assert found[layer, module, bits] == pytest.approx(DECODER.nll(BLOCKS.tokens, hook).mean() - reference)


def test_steps_are_reported():
    steps: list[tuple[int, int]] = []
    measure_sensitivities(DECODER, BLOCKS, BASE, PUBLISHED, progress=lambda *step: steps.append(step))
    assert steps == [(number, 16) for number in range(1, 17)]


def made_up() -> dict[tuple[int, str, int], float]:
    """Layer 1 matters ten times as much as layer 0; o does not matter at all."""
    weights = {"qkv": 1.0, "o": 0.0, "u": 2.0, "d": 0.5}
    return {
        (layer, module, getattr(BASE, module) + change): (1, 10)[layer] * weight * (4.0**-change - 1)
        for layer in range(2)
        for module, weight in weights.items()
        for change in (-1, 1)
    }


def allocations(base: Precision, sensitivities: Sensitivities) -> list[Allocation]:
    return GreedyAllocator(base, sensitivities, DECODER.shape.layers, lambda p: COST.layer(Choice(p))).allocations()


def test_allocations_go_from_one_bit_above_to_one_bit_below():
    chain = allocations(BASE, made_up())
    assert chain[0].layers == (Precision(7, 6, 7, 8),) * 2
    assert chain[-1].layers == (Precision(5, 4, 5, 6),) * 2
    assert len(chain) == 1 + 2 * 2 * 4
    for before, after in itertools.pairwise(chain):
        changed = [sum(a) - sum(b) for a, b in zip(before.layers, after.layers, strict=True)]
        assert sorted(changed) == [0, 1]
        assert after.cost < before.cost
    for allocation in chain:
        assert allocation.cost == sum(COST.layer(Choice(precision)) for precision in allocation.layers)


def test_moves_are_ordered_by_loss_per_saved_cost():
    """The order is that of all single moves sorted, since here a module's second bit always costs more than its first."""
    sensitivities = made_up()
    chain = allocations(BASE, sensitivities)
    ratios = [
        (after.predicted_nll - before.predicted_nll) / (before.cost - after.cost)
        for before, after in itertools.pairwise(chain)
    ]
    assert ratios == sorted(ratios)
    assert [step.layers[0].o + step.layers[1].o for step in chain[:5]] == [12, 11, 10, 9, 8]
    base = next(step for step in chain if step.cost <= COST(Choice(BASE)))
    assert sum(base.layers[1]) > sum(base.layers[0])


def test_greedy_is_no_worse_than_any_equal_shift():
    """At the cost of the base, the predicted loss is below that of the base itself, which is 0."""
    chain = allocations(BASE, made_up())
    at_base = min((step for step in chain if step.cost <= COST(Choice(BASE))), key=lambda step: -step.cost)
    assert at_base.predicted_nll < 0


def test_one_bit_is_the_least():
    base = Precision(1, 5, 6, 16)
    sensitivities = {
        (layer, module, getattr(base, module) + change): 0.1
        for layer in range(2)
        for module in MODULES
        for change in (-1, 1)
    }
    chain = allocations(base, sensitivities)
    assert chain[0].layers == (Precision(2, 6, 7, 16),) * 2
    assert chain[-1].layers == (Precision(1, 4, 5, 15),) * 2


def test_spread():
    chain = [Allocation((), cost, 0.0) for cost in (10.0, 9.0, 8.9, 8.8, 5.0, 1.0)]
    assert [own.cost for own in spread(chain, 4)] == [1.0, 5.0, 8.8, 10.0]
    assert [own.cost for own in spread(chain[:1], 4)] == [10.0]


@pytest.mark.parametrize("shape", [DECODER.shape, SYNTHETIC_OPT])
def test_search_by_layer(shape: object):
    """On a random model: the result is the cheapest allocation measured within the tolerance, tested on other blocks."""
    decoder = synthetic_decoder(shape)  # type: ignore[arg-type]
    texts = Texts(BLOCKS, TextBlocks(BLOCKS.tokens[::-1, ::-1].copy()))
    base, cost = Precision.uniform(5), prepare_cost("bops", decoder.shape)
    verdict = sequential_test(decoder, BLOCKS, AndaActivations(base), 1.0)
    start = StudyStep(SearchStep(Choice(base), cost(Choice(base)), verdict.loss.loss, True), verdict, 3.2)
    searching = PrecisionSearch(decoder, texts, tolerance=max(verdict.loss.loss, 0) + 0.01)
    study = searching.by_layer(start, blocks=2)
    assert study.cost < start.step.cost
    assert study.cost == sum(cost.layer(Choice(precision)) for precision in study.layers)
    assert study.bops_saving > 3.2
    hook = layered_activations(study.layers, PUBLISHED)
    again = sequential_test(decoder, BLOCKS, hook, searching.tolerance)
    assert study.verdict.loss == again.loss
    assert study.verdict.loss.loss <= searching.tolerance
    assert study.heldout.loss != study.verdict.loss


def test_search_by_layer_keeps_the_start_where_nothing_else_is_within_the_tolerance():
    base = Precision.uniform(3)
    verdict = sequential_test(DECODER, BLOCKS, AndaActivations(base), 1.0)
    start = StudyStep(SearchStep(Choice(base), COST(Choice(base)), verdict.loss.loss, True), verdict, 16 / 3)
    study = PrecisionSearch(DECODER, Texts(BLOCKS, BLOCKS), tolerance=-0.99).by_layer(start, blocks=2)
    assert (study.layers, study.cost, study.verdict) == ((base,) * 2, start.step.cost, verdict)
    assert study.evaluated > 1


def test_bit_exact_sums_are_refused():
    with pytest.raises(InputError, match=r"^partial: 'fp16' "):
        measure_sensitivities(DECODER, BLOCKS, BASE, Numerics(partial="fp16"))

import re
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.precision_search.cost import prepare_cost, saving
from anda_codesign.experiments.precision_search.search import SearchProblem
from anda_codesign.experiments.precision_search.search_space import (
    PUBLISHED,
    Choice,
    Numerics,
    start_choices,
)
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.sim import simulate
from anda_codesign.workloads import AndaArithmetic, Precision, bops, bops_saving, gemms, model_shape

SHAPE = model_shape("OPT-125M")
PRECISION = Precision(7, 6, 5, 4)
X = np.random.default_rng(0).standard_normal((3, 256)).astype(np.float32)


@pytest.mark.parametrize(
    ("numerics", "options"),
    [
        (PUBLISHED, {}),
        (Numerics("midpoint"), {"reconstruct": "midpoint"}),
        (Numerics("nearest", 32), {"rounding": "nearest", "group_size": 32}),
    ],
)
def test_activations_are_those_of_the_format(numerics: Numerics, options: dict[str, Any]):
    hook = numerics.activations(PRECISION)
    assert not isinstance(hook, AndaArithmetic)
    for module, bits in PRECISION._asdict().items():
        expected = AndaFormat(mantissa_bits=bits, **options).encode(X.astype(np.float16)).decode()
        np.testing.assert_array_equal(hook(module, 0, X), expected)


def test_partial_sums_are_those_of_the_gemm():
    hooks = [Numerics(partial=partial).activations(PRECISION) for partial in ("fp16", "fp32")]  # type: ignore[arg-type]
    assert hooks == [AndaArithmetic(PRECISION, "fp16"), AndaArithmetic(PRECISION, "fp32")]


def test_bit_operations():
    cost = prepare_cost("bops", SHAPE)
    assert cost(Choice(PRECISION)) == bops(SHAPE, PRECISION)
    assert cost.layer(Choice(PRECISION, Numerics("nearest", 32))) == bops(SHAPE, PRECISION) / SHAPE.layers
    assert saving(SHAPE, [PRECISION]) == bops_saving(SHAPE, PRECISION)
    mixed = saving(SHAPE, [Precision.uniform(4), Precision.uniform(8)])
    assert mixed == pytest.approx(16 / 6)


def test_the_simulated_machine():
    result = simulate(gemms(SHAPE, tokens=2048), "anda", PRECISION)
    assert prepare_cost("energy", SHAPE)(Choice(PRECISION)) == pytest.approx(result.energy_pj.total, rel=1e-12)
    fast = simulate(gemms(SHAPE, tokens=2048), "anda", PRECISION, objective="latency")
    assert prepare_cost("latency", SHAPE)(Choice(PRECISION)) == fast.cycles


def test_group_size_costs_energy_and_no_bit_operations():
    """Larger groups at the same peak throughput: fewer exponents are stored, the FP16 accumulations are fewer."""
    small, large = (Choice(PRECISION, Numerics(group_size=size)) for size in (16, 64))
    assert prepare_cost("bops", SHAPE)(small) == prepare_cost("bops", SHAPE)(large)
    assert prepare_cost("energy", SHAPE)(small) != prepare_cost("energy", SHAPE)(large)
    assert prepare_cost("latency", SHAPE)(small) == pytest.approx(prepare_cost("latency", SHAPE)(large), rel=0.01)


def test_several_numerics_are_searched_together():
    """Rounding to nearest needs one bit less here, so it wins, whatever the order in which they are given."""
    numerics = [PUBLISHED, Numerics("nearest")]

    def loss(choice: Choice) -> float:
        needed = 6 if choice.numerics == PUBLISHED else 5
        return 0.0 if min(choice.precision) >= needed else 1.0

    for order in (numerics, numerics[::-1]):
        result = SearchProblem(prepare_cost("bops", SHAPE), loss, 0.01).best_first(
            start_choices(order), Choice.neighbours, 64
        )
        assert result.best is not None
        assert result.best.candidate == Choice(Precision.uniform(5), Numerics("nearest"))


def test_exhaustive_search_visits_all_that_are_cheaper():
    costs = {"a": 5.0, "b": 1.0, "c": 3.0, "d": 4.0, "e": 3.0}
    losses = {"a": 0.0, "b": 0.5, "c": 0.2, "d": 0.01, "e": 0.3}
    result = SearchProblem(costs.__getitem__, losses.__getitem__, 0.01).exhaustive(costs)
    assert [step.candidate for step in result.history] == ["b", "c", "e", "d"]
    assert result.best is not None
    assert (result.best.candidate, result.best.cost) == ("d", 4.0)
    assert SearchProblem(costs.__getitem__, lambda _: 1.0, 0.01).exhaustive("ab").best is None


def test_exhaustive_search_finds_what_the_descent_misses():
    """A loss with a wall: 6,6,6,6 to 4,6,6,6 passes 5,6,6,6, which is bad, so one bit at a time never gets there."""

    def loss(choice: Choice) -> float:
        return 0.0 if choice.precision in {(6, 6, 6, 6), (4, 6, 6, 6)} else 1.0

    problem = SearchProblem(prepare_cost("bops", SHAPE), loss, 0.01)
    descent = problem.best_first(start_choices(), Choice.neighbours, 64).best
    everything = [Choice(Precision(a, b, c, d)) for a in (4, 5, 6) for b in (5, 6) for c in (5, 6) for d in (5, 6)]
    optimum = problem.exhaustive(everything).best
    assert descent is not None
    assert optimum is not None
    assert (descent.candidate.precision, optimum.candidate.precision) == ((6, 6, 6, 6), (4, 6, 6, 6))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Numerics("round"), "reconstruct: 'round'"),  # type: ignore[arg-type]
        (lambda: Numerics(partial="bf16"), "partial: 'bf16'"),  # type: ignore[arg-type]
        (lambda: prepare_cost("area", SHAPE), "objective: 'area'"),  # type: ignore[arg-type]
        (
            lambda: SearchProblem(lambda _: 0.0, lambda _: 0.0, tolerance=-1),
            "tolerance: -1",
        ),
    ],
)
def test_bad_input(build: Any, message: str):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        build()


def test_group_sizes_are_those_of_the_format():
    with pytest.raises(InputError, match=r"^group_size: "):
        Numerics(group_size=48)

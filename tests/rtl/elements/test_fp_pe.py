# amaranth: UnusedElaboratable=no
"""The floating-point processing elements against their software twin."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.latency.elements import FP16_GROUP_CYCLES
from anda_codesign.formats.processing_elements.floating import floating_dot
from anda_codesign.formats.processing_elements.scaled import scale_and_accumulate
from anda_codesign.rtl import run_streams
from anda_codesign.rtl.arithmetic.fp_accumulator import RunningSum, RunningSumParameters
from anda_codesign.rtl.elements.fp_dot import FloatingDot, FpDotParameters
from anda_codesign.rtl.elements.fp_pe import FpIntParameters, FpIntPE
from anda_codesign.rtl.simulation.packing import pack
from latencies import floating_dot_cycles, fp32_scaling_cycles, running_sum_cycles
from numpy.typing import NDArray

VARIANTS = [
    {"summation": summation, "rounding": rounding, "subnormals": subnormals}
    for summation, rounding in [
        ("chained", "nearest"),
        ("chained", "truncate"),
        ("aligned", "nearest"),
        ("aligned", "truncate"),
        ("exact", "nearest"),
    ]
    for subnormals in (True, False)
]


def random_halves(rng: np.random.Generator, shape: tuple[int, ...], specials: bool = False) -> NDArray[np.float16]:
    """Halves of every magnitude, many of them close to one, some subnormal."""
    any_finite = (rng.integers(0, 0x7C00, shape) | rng.integers(0, 2, shape) << 15).astype(np.uint16)
    close = (rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 3, shape)).astype(np.float16).view(np.uint16)
    bits = np.where(rng.random(shape) < 0.6, close, any_finite)
    bits = np.where(rng.random(shape) < 0.1, bits & 0x83FF, bits)
    if specials:
        bits = np.where(rng.random(shape) < 0.03, rng.choice([0x7C00, 0xFC00, 0x7E01], shape), bits)
    return bits.astype(np.uint16).view(np.float16)


def operand_words(activations: NDArray, weights: NDArray, addends: NDArray[np.float32] | None = None) -> list[int]:
    """Payloads of ``[dot products, steps, dot_width]``."""
    _, steps, dot_width = activations.shape
    halves = weights.dtype == np.float16
    weight_bits = 16 if halves else 4
    left = pack(activations.view(np.uint16).reshape(-1, dot_width).astype(np.int64), 16)
    integers = weights.view(np.uint16) if halves else weights
    right = pack(integers.reshape(-1, dot_width).astype(np.int64), weight_bits)
    last = (16 + weight_bits) * dot_width
    words = [
        a | w << 16 * dot_width | (step % steps == steps - 1) << last
        for step, (a, w) in enumerate(zip(left, right, strict=True))
    ]
    if addends is None:
        return words
    starts = np.repeat(addends.view(np.uint32), steps).tolist()
    return [word | start << last + 1 for word, start in zip(words, starts, strict=True)]


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_every_way_to_sum(variant: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    for dot_width, stages in [(4, 4 if variant["summation"] == "chained" else 3), (1, 1), (2, 2)]:
        a, w = random_halves(rng, (2, 10, 3, dot_width), specials=True)
        run = run_streams(
            FloatingDot(FpDotParameters(dot_width=dot_width, stages=stages, **variant)),
            {"operands": operand_words(a, w)},
            {"result": 10},
        )
        expected = floating_dot(a, w, **variant).view(np.uint32).tolist()
        assert run.transfers["result"].payloads == expected
        cycles = floating_dot_cycles(30, stages, variant["summation"] == "exact")
        assert run.transfers["operands"].cycles == list(range(30))
        assert run.transfers["result"].cycles[-1] == cycles - 1


@pytest.mark.parametrize("variant", VARIANTS[:8], ids=lambda variant: "-".join(map(str, variant.values())))
def test_addends_reach_the_subnormal_singles(variant: dict[str, Any]) -> None:
    rng = np.random.default_rng(8)
    a, w = random_halves(rng, (2, 40, 2, 2))
    a[:20], w[:20] = a[:20] * np.float16(2**-14), w[:20] * np.float16(0)
    addends = (rng.standard_normal(40) * 2.0 ** rng.integers(-149, -120, 40)).astype(np.float32)
    addends[30:] = (rng.standard_normal(10) * 2.0 ** rng.integers(-30, 30, 10)).astype(np.float32)
    pe = FloatingDot(FpDotParameters(dot_width=2, addend=True, stages=3, **variant))
    run = run_streams(pe, {"operands": operand_words(a, w, addends)}, {"result": 40})
    expected = floating_dot(a, w, addend=addends, **variant)
    assert run.transfers["result"].payloads == expected.view(np.uint32).tolist()


def interleaved(words: list[int], steps: int, interleave: int) -> list[int]:
    """Payloads of dot products of `steps` steps each, `interleave` of them in turn."""
    return np.array(words, dtype=object).reshape(-1, interleave, steps).swapaxes(1, 2).ravel().tolist()


@pytest.mark.parametrize(
    ("variant", "adder_stages", "interleave", "weight_bits"),
    [(VARIANTS[0], 6, 6, 0), (VARIANTS[3], 3, 2, 4)],
    ids=["6", "3"],
)
def test_adders_of_several_stages(
    variant: dict[str, Any], adder_stages: int, interleave: int, weight_bits: int
) -> None:
    rng = np.random.default_rng(14)
    a, w = random_halves(rng, (2, 12, 3, 2), specials=not weight_bits)
    weights = rng.integers(-8, 8, w.shape).astype(np.int8) if weight_bits else w
    dot = FloatingDot(
        FpDotParameters(
            dot_width=2, stages=3, adder_stages=adder_stages, interleave=interleave, weight_bits=weight_bits, **variant
        )
    )
    words = interleaved(operand_words(a, weights), 3, interleave)
    expected = floating_dot(a, weights, **variant).view(np.uint32).tolist()
    run = run_streams(dot, {"operands": words}, {"result": 12})
    assert run.transfers["result"].payloads == expected
    if interleave == adder_stages:
        assert run.transfers["operands"].cycles == list(range(36))
        assert run.transfers["result"].cycles[-1] == floating_dot_cycles(36, 3, adder_stages=adder_stages) - 1
    pauses = {"operands": random_pause(3), "result": random_pause(4)}
    paused = run_streams(dot, {"operands": words}, {"result": 12}, pauses=pauses)
    assert paused.transfers["result"].payloads == expected


def test_fp_int_with_outputs_in_flight() -> None:
    rng = np.random.default_rng(15)
    a = random_halves(rng, (6, 2, 4, 4))
    w = rng.integers(-8, 8, a.shape).astype(np.int8)
    scales = (rng.random((6, 2)) + 0.01).astype(np.float16)
    # both groups of each output, three outputs in turn, step by step
    turns = [values.reshape(2, 3, 2, 4, 4).swapaxes(1, 2).reshape(12, 4, 4) for values in (a, w)]
    scale_turns = np.array(scale_words(scales)).reshape(2, 3, 2).swapaxes(1, 2).ravel().tolist()
    inputs = {"operands": interleaved(operand_words(*turns), 4, 3), "scales": scale_turns}
    run = run_streams(FpIntPE(FpIntParameters(stages=4, adder_stages=3, interleave=3)), inputs, {"result": 6})
    assert (
        run.transfers["result"].payloads == scale_and_accumulate(floating_dot(a, w), scales)[0].view(np.uint32).tolist()
    )
    last = floating_dot_cycles(48, 4, adder_stages=3) + fp32_scaling_cycles(3)
    assert run.transfers["operands"].cycles == list(range(48))
    assert run.transfers["result"].cycles[-1] == last - 1


@pytest.mark.parametrize(("adder_stages", "interleave"), [(1, 1), (2, 1), (5, 1), (2, 3), (4, 3), (6, 5)])
def test_a_running_sum_in_its_stated_cycles(adder_stages: int, interleave: int) -> None:
    x = np.random.default_rng(16).standard_normal((interleave, 6)).astype(np.float32)
    words = [int(bits) | (step == 5) << 32 for step in range(6) for bits in x[:, step].view(np.uint32)]
    run = run_streams(
        RunningSum(RunningSumParameters(adder_stages=adder_stages, interleave=interleave)),
        {"summands": words},
        {"sums": interleave},
    )
    assert run.transfers["sums"].payloads == np.cumsum(x, axis=1)[:, -1].view(np.uint32).tolist()
    assert run.transfers["sums"].cycles[-1] == running_sum_cycles(6 * interleave, adder_stages, interleave) - 1


def test_with_all_features_it_is_numpy_arithmetic() -> None:
    """The same without the twin: exact products, IEEE 754 sums."""
    rng = np.random.default_rng(9)
    a, w = random_halves(rng, (2, 30, 2, 4))
    total = np.zeros(30, np.float32)
    for step in range(2):
        p = a[:, step].astype(np.float32) * w[:, step].astype(np.float32)
        total = ((p[:, 0] + p[:, 1]) + (p[:, 2] + p[:, 3])) + total
    run = run_streams(FloatingDot(FpDotParameters()), {"operands": operand_words(a, w)}, {"result": 30})
    assert run.transfers["result"].payloads == total.view(np.uint32).tolist()


@pytest.mark.parametrize("port", ["operands", "result"])
@pytest.mark.parametrize("summation", ["chained", "exact"])
def test_pauses_lose_nothing(port: str, summation: str) -> None:
    a, w = random_halves(np.random.default_rng(10), (2, 20, 2, 2))
    pe = FloatingDot(FpDotParameters(dot_width=2, summation=summation, stages=3))
    run = run_streams(pe, {"operands": operand_words(a, w)}, {"result": 20}, pauses={port: random_pause(1)})
    assert run.transfers["result"].payloads == floating_dot(a, w, summation=summation).view(np.uint32).tolist()


def test_a_group_takes_the_baselines_cycles() -> None:
    a, w = random_halves(np.random.default_rng(11), (2, 3, 16, 4))
    run = run_streams(FloatingDot(FpDotParameters()), {"operands": operand_words(a, w)}, {"result": 3})
    assert np.diff(run.transfers["result"].cycles).tolist() == [FP16_GROUP_CYCLES] * 2


def scale_words(scales: NDArray[np.float16]) -> list[int]:
    """Payloads of scales ``[outputs, groups]``."""
    last = np.arange(scales.size) % scales.shape[1] == scales.shape[1] - 1
    return [int(bits) | int(end) << 16 for bits, end in zip(scales.view(np.uint16).ravel(), last, strict=True)]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_fp_int_with_scales(variant: dict[str, Any]) -> None:
    rng = np.random.default_rng(12)
    a = random_halves(rng, (4, 3, 2, 4))
    w = rng.integers(-8, 8, a.shape).astype(np.int8)
    scales = (rng.random((4, 3)) + 0.01).astype(np.float16)
    inputs = {"operands": operand_words(a.reshape(12, 2, 4), w.reshape(12, 2, 4)), "scales": scale_words(scales)}
    run = run_streams(FpIntPE(FpIntParameters(**variant)), inputs, {"result": 4}, flags=["saturated"])
    total, saturated = scale_and_accumulate(floating_dot(a, w, **variant), scales)
    assert run.transfers["result"].payloads == total.view(np.uint32).tolist()
    assert run.flags == {"saturated": saturated}
    dot = floating_dot_cycles(24, 2, variant["summation"] == "exact")
    assert run.transfers["result"].cycles[-1] == dot + fp32_scaling_cycles() - 1


@pytest.mark.parametrize("port", ["operands", "scales", "result"])
def test_fp_int_under_pauses(port: str) -> None:
    rng = np.random.default_rng(13)
    a = random_halves(rng, (6, 2, 2, 4))
    w = rng.integers(-8, 8, a.shape).astype(np.int8)
    scales = np.full((6, 2), 0.5, np.float16)
    inputs = {"operands": operand_words(a.reshape(12, 2, 4), w.reshape(12, 2, 4)), "scales": scale_words(scales)}
    run = run_streams(FpIntPE(FpIntParameters()), inputs, {"result": 6}, pauses={port: random_pause(2)})
    expected = scale_and_accumulate(floating_dot(a, w), scales)[0]
    assert run.transfers["result"].payloads == expected.view(np.uint32).tolist()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dot_width": 3}, "dot_width: 3"),
        ({"dot_width": True}, "dot_width: True is not valid"),
        ({"weight_bits": 9}, "weight_bits: 9"),
        ({"summation": "tree"}, "summation: 'tree'"),
        ({"rounding": "odd"}, "rounding: 'odd'"),
        ({"stages": 5}, "stages: 5"),
        ({"stages": 4, "summation": "aligned"}, "stages: 4"),
        ({"adder_stages": 7, "stages": 4}, "adder_stages: 7"),
        ({"interleave": 2}, "interleave: 2"),
        ({"adder_stages": 2}, "adder_stages: 2"),
        (
            {"summation": "exact", "addend": True},
            "summation: exact needs rounding nearest and no addend",
        ),
    ],
)
def test_illegal_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        FloatingDot(FpDotParameters(**parameters))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("field", ["specials", "addend"])
def test_an_fp_int_element_has_no_specials_and_no_addend(field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        FpIntParameters(**{field: True})

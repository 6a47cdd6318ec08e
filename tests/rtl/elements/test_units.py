# amaranth: UnusedElaboratable=no
"""Units of a row that share conversion, multiplier and adder in turn: the bits and cycles of as many single elements."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value
from anda_codesign.formats import AndaFormat
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl import StreamRun, create_design, run_streams
from anda_codesign.rtl.simulation.operands import plane_stream
from anda_codesign.rtl.simulation.packing import pack, pack_fields

LANES, OUTPUTS, GROUPS = 8, 3, 4
"""Outputs of a unit, and groups of an output."""


def scale_words(rng: np.random.Generator) -> list[int]:
    scales = (rng.random(OUTPUTS * GROUPS) + 0.01).astype(np.float16)
    last = np.tile(np.arange(GROUPS) == GROUPS - 1, OUTPUTS)
    return pack_fields([(scales.view(np.uint16), 16), (last, 1)])


def in_turn(units: list[list[int]]) -> list[int]:
    return [word for together in zip(*units, strict=True) for word in together]


def run(design: str, inputs: dict[str, list[int]], results: int, pauses: Any = None, **parameters: Any) -> StreamRun:
    circuit = create_design(design, **parameters)
    return run_streams(circuit, inputs, {"result": results}, flags=["saturated"], pauses=pauses)


def assert_equal(shared: StreamRun, single: list[StreamRun]) -> None:
    """The same outputs, those of unit u a cycle later for each unit before it."""
    results = [each.transfers["result"] for each in single]
    assert shared.transfers["result"].payloads == in_turn([result.payloads for result in results])
    assert shared.flags["saturated"] == any(each.flags["saturated"] for each in single)
    late = [[cycle + unit for cycle in result.cycles] for unit, result in enumerate(results)]
    assert shared.transfers["result"].cycles == in_turn(late)


def anda_inputs(rng: np.random.Generator, mantissa_bits: int, units: int) -> tuple[list[int], Any, list[list[int]]]:
    """Planes, codes ``[units, groups, lanes]`` and scales; the last output overflows FP16 in the last unit alone."""
    x = (rng.standard_normal((OUTPUTS, GROUPS * LANES)) * 2.0 ** rng.integers(-6, 5, (OUTPUTS, 1))).astype(np.float16)
    codes = rng.integers(-8, 8, (units, OUTPUTS * GROUPS, LANES))
    x[-1], codes[:, -GROUPS:] = 60000, 0
    codes[-1, -GROUPS:] = 7
    planes = plane_stream(AndaFormat(mantissa_bits, LANES).encode(x), LANES)
    return planes, codes, [scale_words(rng) for _ in range(units)]


@pytest.mark.parametrize(
    ("units", "mantissa_bits", "options"),
    [
        (2, 1, {}),
        (4, 3, {"signs": "row"}),
        (3, 5, {"signs": "row", "stages": 2, "adder_stages": 2}),
        (4, 4, {"signs": "row", "stages": 3, "adder_stages": 5}),
        (8, 7, {"signs": "row", "tree": "carry-save", "operand_isolation": True}),
    ],
)
def test_anda(units: int, mantissa_bits: int, options: dict[str, Any]) -> None:
    planes, codes, scales = anda_inputs(np.random.default_rng(units), mantissa_bits, units)
    options = {"lanes": LANES, **options}
    single = [
        run("anda-pe-scaled", {"activation": planes, "weights": pack(own, 4), "scales": factors}, OUTPUTS, **options)
        for own, factors in zip(codes, scales, strict=True)
    ]
    inputs = {"activation": planes, "weights": pack(np.concatenate(codes, axis=1), 4), "scales": in_turn(scales)}
    shared = run("anda-pe-scaled", inputs, OUTPUTS * units, units=units, **options)
    assert_equal(shared, single)


def test_a_group_waits_for_the_units_before_it() -> None:
    """With fewer cycles a group than units, the shared accumulator is busy in every cycle; pauses change no bit."""
    units, mantissa_bits = 8, 2
    planes, codes, scales = anda_inputs(np.random.default_rng(0), mantissa_bits, units)
    inputs = {"activation": planes, "weights": pack(np.concatenate(codes, axis=1), 4), "scales": in_turn(scales)}
    options = {"lanes": LANES, "signs": "row", "units": units}
    full = run("anda-pe-scaled", inputs, OUTPUTS * units, **options).transfers["result"]
    assert full.cycles[-1] - full.cycles[0] == OUTPUTS * GROUPS * units - 1 - (GROUPS - 1) * units
    assert pe_cycles_per_group(mantissa_bits) < units
    pause = (np.random.default_rng(1).random(997) < 0.5).tolist()
    for port in (*inputs, "result"):
        paused = run("anda-pe-scaled", inputs, OUTPUTS * units, pauses={port: pause}, **options).transfers["result"]
        assert paused.payloads == full.payloads


@pytest.mark.parametrize("design", ["figna-pe", "ifpu-pe"])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_aligned_integers(design: str, stages: int) -> None:
    """A group of 16 takes four steps, one for each unit."""
    rng, units = np.random.default_rng(stages), 4
    options = {"lanes": 4, "mantissa_bits": 9, "group_size": 16, "stages": stages}
    layout = create_design(design, **options).parameters.operands_layout
    weights = layout["weights"]
    words = rng.integers(0, 2, (OUTPUTS * GROUPS * 4, layout.size))
    words[:, layout["last"].offset] = np.tile([0, 0, 0, 1], OUTPUTS * GROUPS)
    exponent = layout["exponent"].offset
    words[:, exponent : exponent + 6] = [1, 1, 1, 1, 1, 1]
    own = rng.integers(0, 2, (units, len(words), weights.width))
    low, high = words[:, : weights.offset], words[:, weights.offset + weights.width :]
    scales = [scale_words(rng) for _ in range(units)]
    single = [
        run(
            design,
            {"operands": pack(np.concatenate([low, bits, high], axis=1), 1), "scales": factors},
            OUTPUTS,
            **options,
        )
        for bits, factors in zip(own, scales, strict=True)
    ]
    inputs = {"operands": pack(np.concatenate([low, *own, high], axis=1), 1), "scales": in_turn(scales)}
    circuit = create_design(design, units=units, **options)
    assert len(Value.cast(circuit.operands.payload)) == layout.size + (units - 1) * weights.width
    assert_equal(run(design, inputs, OUTPUTS * units, units=units, **options), single)

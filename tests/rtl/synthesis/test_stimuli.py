# amaranth: UnusedElaboratable=no
"""Stimuli of the operators: the circuits compute the expected outputs."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.rtl import create_design, run_streams
from anda_codesign.rtl.synthesis import Operands
from anda_codesign.rtl.synthesis.stimuli.registry import stimuli


def operands(groups: int = 32, lanes: int = 32) -> Operands:
    """Groups with zeros and outliers."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((groups, lanes)) * np.where(rng.random((groups, lanes)) < 0.05, 30, 1)
    x[rng.random(x.shape) < 0.1] = 0
    codes = rng.integers(-8, 8, (groups, lanes)).astype(np.int8)
    return Operands(x.astype(np.float16), codes, (rng.random(groups) / 16 + 0.01).astype(np.float16))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("squeezellm-decoder", {}),
        ("squeezellm-decoder", {"bits": 3}),
        ("spqr-decoder", {}),
        ("di-exp", {}),
        ("integer-sqrt", {}),
        ("integer-sqrt", {"bits": 64}),
        ("softmax-lane", {"depth": 16}),
        ("running-sum", {"adder_stages": 3, "interleave": 2}),
        ("fp-fp-pe", {"stages": 4, "adder_stages": 2, "interleave": 2}),
        ("fp-int-pe", {"stages": 4, "adder_stages": 2, "interleave": 2}),
        ("anda-pe", {"lanes": 16, "signs": "row", "units": 3}),
        ("anda-pe-scaled", {"lanes": 32, "midpoint": True}),
        ("figna-pe", {"weight_bits": 8, "group_size": 32}),
        ("ifpu-pe", {"group_size": 32}),
        ("figlut-pe", {"outputs": 4, "group_size": 32}),
    ],
)
def test_the_circuit_gives_what_is_expected(name: str, parameters: dict[str, Any]) -> None:
    (stimulus,) = stimuli(create_design(name, **parameters), operands(), [3])
    run = run_streams(create_design(name, **parameters), stimulus.inputs, stimulus.outputs, pauses=stimulus.pauses)
    assert stimulus.expected.keys() == stimulus.outputs.keys()
    for port, payloads in stimulus.expected.items():
        masks = stimulus.masks.get(port, [-1] * len(payloads))
        found = [payload & mask for payload, mask in zip(run.transfers[port].payloads, masks, strict=True)]
        assert found == list(payloads)
    assert stimulus.operations > 0


@pytest.mark.parametrize("name, field, value", [("figna-pe", "group_size", 16), ("anda-pe", "weight_bits", 3)])
def test_a_circuit_too_narrow_for_the_trace_is_refused(name: str, field: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{field}: {value} "):
        stimuli(create_design(name, **{field: value}), operands(), [3])


def test_the_vector_units_programs_give_what_is_expected() -> None:
    for stimulus in stimuli(create_design("vector-unit", lanes=4), operands(groups=4, lanes=8), []):
        run = run_streams(create_design("vector-unit", lanes=4), stimulus.inputs, stimulus.outputs)
        assert list(run.transfers["results"].payloads) == list(stimulus.expected["results"]), stimulus.name
        assert len(run.transfers["results"].payloads) >= stimulus.operations // 4

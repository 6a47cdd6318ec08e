"""Sweep files that are wrong in a way that would show only after hours: refused before the first simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from messages import Refused

FIELDS = {"models": "OPT-125M", "archs": "anda", "mantissa_bits": "7", "tokens": "16"}
NINES = "9" * 400

CASES: list[tuple[dict[str, str], str]] = [
    ({"tokens": "!!timestamp foo"}, "sweep mine.yaml: is not YAML (the tag"),
    ({"tokens": "2024-99-99"}, "sweep mine.yaml: tokens.0: is '2024-99-99'"),
    ({"tokens": "9" * 5000}, "sweep mine.yaml: is not YAML (the integer"),
    ({"tokens": "1e18"}, "sweep mine.yaml: tokens.0: is 1e+18; input should be a valid integer"),
    ({"tokens": "1000000000000"}, "tokens: 1000000000000 is too many; use at most 16,777,216, more than any model reads"),
    ({"contexts": "1000000000000"}, "contexts: 1000000000000 is too many"),
    ({"batches": "1000000000000"}, "batch: 1000000000000 is too many; use at most 65,536"),
    ({"tokens": "{from: 1, to: 2, step: 1e-320}"}, "sweep mine.yaml: tokens: the range has more than 100000 values"),
    ({"tokens": "{from: 1e-320, to: 1e308, points: 5}"}, "sweep mine.yaml: tokens: the range from 1e-320 to 1e+308 is"),
    ({"sampling": "{method: random, points: 1000000000}"}, "sweep mine.yaml: sampling.points: is 1000000000"),
    ({"sampling": "{method: random, points: 1, seed: -1}"}, "sweep mine.yaml: sampling.seed: is -1"),
    ({"technology": "{dram.bandwidth: 1e-320}"}, "technology paper-16nm with dram.bandwidth 1e-320: dram.bandwidth.value"),
    ({"levels": "[analytical, event]"}, "levels: 'event' is not valid; choose one of analytical, events, cycle"),
    ({"phases": "foo"}, "phases: 'foo' is not valid"),
    ({"objectives": "foo"}, "objectives: 'foo' is not valid"),
    ({"mappings": "foo"}, "mapping: 'foo'"),
    ({"memories": "foo"}, "memory: 'foo' is unknown"),
    ({"kv_caches": "anda:99", "scopes": "model"}, "kv_cache: anda: mantissa_bits: 99 is not valid"),
    ({"evaluation": "{tokens: -1}"}, "sweep mine.yaml: evaluation: evaluation.tokens: -1 is not valid"),
    *[
        ({"constraints": f'["{text}"]'}, f"constraints: {message}")
        for text, message in {
            "1": "'1' is no condition; compare it, as in area_mm2 < 4",
            "tokens": "'tokens' is no condition",
            "area_mm2": "'area_mm2' is no condition",
            "cycles % 2": "'cycles % 2' is no condition",
            "arch": "'arch' is no condition",
            "arch and cycles > 0": "'arch' is no condition for and, or, not",
            "not tokens": "'tokens' is no condition for and, or, not",
            "abs(arch) > 0 or cycles > 0": "'abs(arch) > 0 or cycles > 0' calculates with a text",
            "round(arch) == cycles": "'round(arch) == cycles' calculates with a text",
            f"{NINES} < cycles": "holds a number above 1.8e+308",
            "1e400 < cycles": "holds a number above 1.8e+308",
        }.items()
    ],
    ({"derived": '{x: "arch * cycles"}'}, "derived.x: 'arch * cycles' calculates with a text"),
    ({"derived": '{x: "arch + arch"}'}, "derived.x: 'arch + arch' calculates with a text"),
    ({"derived": f'{{x: "{NINES}"}}'}, "derived.x: holds a number above 1.8e+308"),
    ({"derived": f'{{x: "{"-" * 400}cycles"}}'}, "derived.x: nests more than 100 deep"),
    ({"derived": '{x: "cycles"}', "constraints": '["x"]'}, "constraints: 'x' is no condition"),
    ({"sampling": "{method: search, points: 2, minimise: [arch]}"}, "sampling.minimise: 'arch' is not a column of numbers"),
    ({"sampling": "{method: search, points: 2, minimise: [key]}"}, "sampling.minimise: 'key' is not a column of numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), CASES)
def test_refused_before_the_first_simulation(refused: Refused, tmp_path: Path, fields: dict[str, str], message: str):
    """One line, and no line of progress before it."""
    file = tmp_path / "mine.yaml"
    file.write_text("".join(f"{name}: {value}\n" for name, value in (FIELDS | fields).items()))
    assert refused("sweep", file, "--out", tmp_path / "out").startswith(message)
    assert not list(tmp_path.glob("out/*.parquet"))


def test_conditions_as_metrics_and_as_constraints(tmp_path: Path):
    spec = SweepSpec(
        models="OPT-125M", archs="anda", mantissa_bits=(7, 8), tokens=(16,),  # pyright: ignore[reportArgumentType]
        derived={"narrow": "mantissa_bits_o < 8", "count": "narrow + 1", "saved": "narrow * cycles"},
        constraints=("narrow or cycles < 0", "1 < 2"),
    )  # fmt: skip
    (row,) = run_sweep(spec, tmp_path / "out").to_dict("records")
    assert (row["narrow"], row["count"], row["saved"]) == (True, 2, row["cycles"])


def test_counts_beyond_64_bits(tmp_path: Path):
    fields: dict[str, Any] = {"models": "LLaMA2-70B", "archs": "fp-fp", "tokens": 4096, "batches": (1, 1 << 16)}
    frame = run_sweep(SweepSpec(**fields), tmp_path / "out")
    assert frame["macs"].max() > 2**63
    assert frame["macs"].max() / frame["macs"].min() == 1 << 16


@pytest.mark.parametrize("options", [(), ("--model", "OPT-125M"), ("--gemm", "16x64x64")])
def test_a_mistyped_level_is_what_the_error_is_about(refused: Refused, options: tuple[str, ...]):
    message = "level: 'event' is not valid; choose one of analytical, events, cycle"
    assert refused("simulate", *options, "--level", "event") == message


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("tokens", "beyond the context of OPT-125M; use 2,048 at most"),
        ("context", "beyond the context of OPT-125M; use 2,048 at most"),
        ("batch", "is too many; use at most 65,536, more than any server runs together"),
    ],
)
def test_sizes_have_a_limit_with_a_reason(refused: Refused, option: str, reason: str):
    message = refused("simulate", "--model", "OPT-125M", "--arch", "fp-fp", f"--{option}", 10**12)
    assert message.endswith(reason)


@pytest.mark.parametrize("gemm", ["1000000000000x64x64", "64x64x99999999", f"{NINES * 11}x1x1"])
def test_sizes_of_a_gemm_have_a_limit(anda: Callable[..., Any], gemm: str):
    answer = anda("simulate", "--gemm", gemm, "--m", 7)
    assert answer.status == 2
    assert "is not three whole numbers from 1 to 16,777,216" in answer.err
    assert len(answer.err) < 300

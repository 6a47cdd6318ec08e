"""Sweep files: what they mean, and what is wrong with them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.experiments.sweep.overrides import architecture_columns, architecture_with, technology_with
from anda_codesign.experiments.sweep.points import simulate_points
from anda_codesign.experiments.sweep.spec import SweepSpec, load_spec, question_names, sweep_schema
from anda_codesign.formats import InputError
from anda_codesign.formats.documents.schema import check
from anda_codesign.sim import load_architecture
from anda_codesign.sim.config.architecture import FOLDER
from anda_codesign.workloads import model_shape

import anda_codesign


def spec(**fields: Any) -> SweepSpec:
    return check(SweepSpec, {"models": "OPT-125M", "archs": "anda", "mantissa_bits": 7} | fields, "sweep")


def refusal(**fields: Any) -> str:
    with pytest.raises(InputError) as error:
        spec(**fields).points()
    return str(error.value)


def test_every_combination_is_a_point_in_the_order_of_the_file():
    points = spec(
        models=["OPT-1.3B", "opt-125m"], archs=["fp-fp", "anda"], precisions=["7,5,6,6"], tokens={"from": 1, "to": 2}
    ).points()
    machines = [("fp-fp", None), ("anda", "7,5,6,6"), ("anda", "7,7,7,7")]
    assert [(p.model, p.arch, p.precision, p.tokens) for p in points] == [
        (model, *machine, tokens) for model in ("OPT-1.3B", "OPT-125M") for machine in machines for tokens in (1, 2)
    ]
    assert len({p.key for p in points}) == len(points)


def test_fields_of_the_machine():
    points = spec(
        archs=["fp-fp", "anda"],
        architecture={"activation_buffer.capacity": ["512 KiB", "1 MiB"], "array.columns": 32},
        technology={"dram.bandwidth": {"from": 64, "to": 256, "points": 3}},
    ).points()
    assert len(points) == 2 * 2 * 3
    assert [p.columns()["activation_buffer_capacity"] for p in points[::3]] == [1 << 19, 1 << 20] * 2
    assert {p.columns()["array_columns"] for p in points} == {32}
    assert [p.columns()["dram_bandwidth"] for p in points[:3]] == [64, 128, 256]


def test_replaced_fields_reach_the_objects():
    own = architecture_with("anda", (("weights.bits", 3), ("weights.group_size", 64)))
    assert (own.weights.name, own.weights.bits, own.weights.group_size) == ("int4", 3, 64)
    assert architecture_columns("anda", (("weights", "spqr-3"), ("weights.bits", 3))) == {
        "weights": "spqr-3",
        "weights_bits": 3,
    }
    machine = architecture_with("anda", (("array.columns", 32), ("activation_buffer.capacity", "2 MiB")))
    assert (machine.array.rows, machine.array.columns) == (16, 32)
    assert machine.activation_buffer.capacity_bytes == 2 << 20
    technology = technology_with("paper-16nm", (("dram.energy", 7.8),))
    assert (technology.dram.energy.value, technology.dram.energy.source) == (7.8, "set by the sweep")
    assert technology.dram.bandwidth == technology_with("paper-16nm", ()).dram.bandwidth


def test_constraints_on_inputs_leave_points_out():
    fields = {"architecture": {"array.rows": [4, 8, 16], "array.columns": [16, 32, 64]}}
    points = spec(**fields, constraints=["array_rows * array_columns == 256"]).points()
    assert [(p.columns()["array_rows"], p.columns()["array_columns"]) for p in points] == [(4, 64), (8, 32), (16, 16)]


@pytest.mark.parametrize("method", ["random", "latin-hypercube"])
def test_sampling(method: str):
    fields = {
        "tokens": {"from": 1, "to": 1000},
        "technology": {"dram.bandwidth": {"from": 1, "to": 10}, "dram.energy": [1.0, 2.0]},
        "archs": ["fp-fp", "anda"],
    }
    sampling = {"method": method, "points": 10, "for_each": ["archs"]}
    points = spec(**fields, sampling=sampling | {"seed": 3}).points()
    assert len(points) == 20
    assert [p.arch for p in points] == ["fp-fp", "anda"] * 10
    assert [p.tokens for p in points[::2]] == [p.tokens for p in points[1::2]]
    assert points == spec(**fields, sampling=sampling | {"seed": 3}).points()
    assert points != spec(**fields, sampling=sampling | {"seed": 4}).points()
    if method == "latin-hypercube":
        assert sorted((p.tokens - 1) // 100 for p in points[::2]) == list(range(10))
        assert Counter(p.columns()["dram_bandwidth"] for p in points[::2]) == Counter(range(1, 11))
        assert Counter(p.columns()["dram_energy"] for p in points[::2]) == {1.0: 5, 2.0: 5}


def test_random_points_meet_the_constraints_and_fill_the_budget():
    fields: dict[str, Any] = {"tokens": {"from": 1, "to": 40}, "constraints": ["tokens % 2 == 0"]}
    points = spec(**fields, sampling={"method": "random", "points": 15}).points()
    assert len({p.tokens for p in points}) == 15
    assert all(p.tokens % 2 == 0 for p in points)
    everything = spec(**fields, sampling={"method": "random", "points": 100}).points()
    assert sorted(p.tokens for p in everything) == list(range(2, 41, 2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mantissa_bits": [0]}, "precision: qkv has 0 mantissa bits"),
        ({"models": "GPT-5"}, "model: 'GPT-5'"),
        ({"archs": "tpu"}, "architecture: 'tpu'"),
        ({"tokens": []}, "sweep: tokens: there is no value"),
        ({"models": None}, "sweep: models: there is no value"),
        ({"precisions": []}, "sweep: precisions: there is no value"),
        ({"technology": {"dram.bandwidth": []}}, "sweep: technology.dram.bandwidth: there is no value"),
        ({"tokens": {"from": 1, "step": 2}}, "sweep: tokens: a range needs a number under 'to'"),
        ({"tokens": "many"}, "sweep: tokens.0: is 'many'"),
        ({"coffee": 1}, "sweep: coffee: is not a key here"),
        ({"sampling": {"metod": "grid"}}, "sweep: sampling.metod: is not a key here"),
        (
            {"sampling": {"points": 5}},
            "sampling.points: a grid takes every combination",
        ),
        ({"sampling": {"seed": 5}}, "sampling.seed: a grid takes every combination"),
        ({"sampling": {"for_each": ["archs"]}}, "sampling.for_each: a grid takes every combination"),
        (
            {"sampling": {"method": "random"}},
            "sampling.points: is missing",
        ),
        (
            {"sampling": {"method": "random", "points": 1, "for_each": ["arch"]}},
            "sampling.for_each: 'arch'",
        ),
        (
            {"tokens": {"from": 1, "to": 4000}, "contexts": {"from": 1, "to": 4000}},
            "sampling: the grid has 16,000,000 combinations, more than 10,000,000",
        ),
        (
            {"constraints": ["tokens < 1", "tokens > 1"]},
            "constraints: no point meets them all",
        ),
        ({"constraints": ["watts < 1"]}, "constraints: 'watts'"),
        ({"derived": {"edp": "energy * seconds"}}, "derived.edp: 'energy'"),
        ({"derived": {"cycles": "1"}}, "derived.cycles: cannot be a new name"),
        ({"derived": {"a b": "1"}}, "derived.a b: cannot be a new name"),
        (
            {"architecture": {"cache.ways": 4}},
            "architecture.cache.ways: anda has no 'cache'",
        ),
        (
            {"archs": ["fp-fp"], "architecture": {"exponent_buffer.capacity": "1 KiB"}},
            "architecture.exponent_buffer.capacity: fp-fp has no 'exponent_buffer'",
        ),
        (
            {"architecture": {"array.depth": 4}},
            "architecture anda with array.depth 4: array.depth: is not a key here",
        ),
        (
            {"architecture": {"array.rows": 32}},
            "architecture anda with array.rows 32: activation_buffer.port: one plane of 32 rows is 2048 bit",
        ),
        (
            {"technology": {"dram.colour": 4}},
            "technology.dram.colour: is not a constant of paper-16nm",
        ),
        ({"technology": {"dram.energy": -1}}, "technology paper-16nm with dram.energy -1: dram.energy.value: is -1"),
    ],
)
def test_sweeps_that_are_wrong(fields: dict[str, Any], message: str):
    assert refusal(**fields).startswith(message)


def test_a_file_of_ones_own_is_part_of_the_key(tmp_path: Path):

    path = tmp_path / "mine.yaml"
    path.write_text((FOLDER / "anda.yaml").read_text())
    (before,) = spec(archs=str(path)).points()
    key = before.key
    path.write_text((FOLDER / "anda.yaml").read_text().replace("285 MHz", "300 MHz"))
    assert before.key != key


@pytest.mark.parametrize("name", question_names())
def test_the_built_in_questions(name: str):
    question = load_spec(name)
    assert question.title
    assert 5 <= question.size() <= 1400
    first = {dimension: values[0] for dimension, values in question.dimensions().items()}
    question.check_formulas([question.point(first)])


def test_the_schema_describes_the_file():
    schema = json.loads(sweep_schema())
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"models", "archs"}
    assert set(schema["properties"]) == set(SweepSpec.model_fields)
    kinds = schema["properties"]["tokens"]["anyOf"]
    assert [kind["type"] for kind in kinds] == ["integer", "array", "object"]
    assert set(kinds[2]["properties"]) == {"from", "to", "step", "points", "unit"}


def test_architectures_without_a_compressor_are_left_out_of_caches_in_anda():
    asked = spec(archs=["fp-fp", "anda"], kv_caches=["fp16", "anda:8"], scopes="model")
    assert [(point.arch, point.kv_cache) for point in asked.points()] == [
        ("fp-fp", "fp16"),
        ("anda", "fp16"),
        ("anda", "anda:8"),
    ]
    stream = asked.stream()
    stream.numbers()
    assert stream.left_out == {"kv_cache: fp-fp has no compressor for anda:8; use fp16": 1}
    assert refusal(archs=["fp-fp", "figna"], kv_caches="anda:8", scopes="model").startswith(
        "kv_cache: fp-fp has no compressor"
    )


def test_the_default_precision_of_an_architecture(tmp_path: Path):
    [point] = spec(archs="anda", mantissa_bits=None).points()
    assert point.precision is None
    assert point.columns()["precision"] == str(load_architecture("anda").default_precision)
    own = tmp_path / "own.yaml"
    text = (FOLDER / "anda.yaml").read_text()
    own.write_text("".join(line for line in text.splitlines(True) if not line.startswith("default_precision")))
    assert refusal(archs=str(own), mantissa_bits=None).startswith(f"precisions: {own} needs some")


def test_a_file_with_a_precision_for_each_layer(tmp_path: Path):
    file, shape = tmp_path / "layers.json", model_shape("OPT-125M")
    layers = [[4, 5, 6, 7]] + [[6, 5, 6, 7]] * (shape.layers - 1)
    file.write_text(json.dumps(layers))
    asked = spec(archs=["anda", "fp-fp"], mantissa_bits=None, precisions=[str(file), "6,6,6,6"], tokens=16)
    layered, uniform, fixed = asked.points()
    assert (layered.precision, uniform.precision, fixed.precision) == (str(file), "6,6,6,6", None)
    row, other = simulate_points([layered, uniform])
    assert row["mantissa_bits_qkv"] == 6 - 2 / shape.layers
    assert row["cycles"] == anda_codesign.simulate(model="OPT-125M", precision=layers, tokens=16).cycles
    assert list(row) == list(other)
    key = layered.key
    file.write_text(json.dumps(layers[::-1]))
    assert layered.key != key
    assert refusal(precisions=str(file), mantissa_bits=None, evaluation={}).startswith("precisions: ")


def test_head_and_vector_traffic_are_dimensions():
    fields: dict[str, Any] = {"archs": "fp-fp", "scopes": "model", "tokens": 16, "allow_overflow": True}
    points = spec(**fields, head=["fp16", "none"], vector_traffic=["dram", "none"]).points()
    rows = simulate_points(points)
    assert [(row["vector_traffic"], row["head"]) for row in rows] == [
        ("dram", "fp16"),
        ("dram", "none"),
        ("none", "fp16"),
        ("none", "none"),
    ]
    traffic = [row["dram_bytes"] for row in rows]
    assert traffic[0] > traffic[2] > traffic[1] > traffic[3]
    assert refusal(head="int5", scopes="model").startswith("weight format: 'int5'")
    assert refusal(vector_traffic="some", scopes="model").startswith("vector_traffic: 'some'")


def test_prompts_make_whole_inferences():
    [point] = spec(prompts=100, generates=20).points()
    columns = point.columns()
    assert (columns["phase"], columns["tokens"], columns["prompt"], columns["generate"]) == ("inference", 120, 100, 20)
    assert columns["scope"] == "model"
    assert "prompt" not in spec().points()[0].columns()
    assert "ttft_seconds" in spec(prompts=100, generates=20).result_columns()
    assert "ttft_seconds" not in spec().result_columns()

"""Points as a stream: columns, keys, order and samples are those of points that are made one by one."""

import itertools
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anda_codesign.experiments.sweep.batch import is_covered
from anda_codesign.experiments.sweep.overrides import architecture_with
from anda_codesign.experiments.sweep.points import Point, simulate_points
from anda_codesign.experiments.sweep.run import PointChunk, chunks, run_sweep, simulate_chunk, sweep_name
from anda_codesign.experiments.sweep.space.combinations import first_of_equal, latin_hypercube
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep.store import SweepStore
from anda_codesign.experiments.sweeps import sweep
from anda_codesign.formats import InputError
from anda_codesign.formats.documents.schema import check
from anda_codesign.sim.config.architecture import FOLDER as ARCHITECTURES
from anda_codesign.sim.config.weights import FOLDER as WEIGHTS
from hypothesis import given, settings
from hypothesis import strategies as st

SPECS: dict[str, dict[str, Any]] = {
    "machines": {
        "precisions": ["7,5,6,6"], "mantissa_bits": [4, 7], "tokens": [1, 64], "weights": ["own", "int8"],
        "architecture": {"activation_buffer.capacity": ["512 KiB", "1 MiB"], "array.columns": [8, 16]},
        "technology": {"dram.bandwidth": [64, 0.5]},
        "constraints": ["activation_buffer_capacity > 600000 or array_columns == 8", "not arch == 'figna'"],
    },
    "formats": {
        "modules": {"qkv": 7, "o": [5, 6], "u": 7, "d": [6, 7]}, "roundings": ["truncate", "nearest"],
        "reconstructions": ["truncate", "midpoint"], "zero_planes": ["sent", "skipped"], "formats": ["own", "mxint8"],
        "evaluation": {"blocks": 2}, "architecture": {"processing_element.lanes": [32, 64]},
    },
    "inferences": {
        "mantissa_bits": 7, "prompts": [16, 17], "generates": [1, 2], "batches": [1, 2], "allow_overflow": True,
        "kv_caches": ["fp16", "anda:8"], "models": ["OPT-125M", "LLaMA-7B"],
    },
    "passes": {
        "mantissa_bits": 7, "phases": ["prefill", "decode"], "scopes": ["gemms", "model"], "contexts": [0, 8],
        "objectives": ["energy", "latency"], "technologies": ["paper-16nm", "cacti-16nm"], "allow_overflow": True,
        "mappings": ["best", "nothing"], "levels": ["analytical", "events"], "tokens": [8, 8],
    },
}  # fmt: skip


def spec(**fields: Any) -> SweepSpec:
    return check(SweepSpec, {"models": "OPT-125M", "archs": ["fp-fp", "anda", "figna"]} | fields, "sweep")


def one_by_one(asked: SweepSpec, choices: Iterable[dict[str, Any]]) -> list[Point]:
    return [point for point in dict.fromkeys(map(asked.point, choices)) if asked.allows(point)]


def products(dimensions: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return (dict(zip(dimensions, values, strict=True)) for values in itertools.product(*dimensions.values()))


@pytest.mark.parametrize("name", SPECS)
def test_columns_keys_and_order_are_those_of_the_points(name: str):
    asked = spec(**SPECS[name])
    stream = asked.stream()
    points = one_by_one(asked, products(dict(asked.dimensions())))
    assert asked.points() == points
    numbers = stream.numbers()
    for rows in np.array_split(np.arange(len(numbers)), 3):
        block = stream.block(numbers[rows])
        keys = [bytes(key).decode() for key in block.key_characters()]
        assert keys == [points[row].key for row in rows]
        for column in points[0].columns():
            assert block.column(column).tolist() == [points[row].columns()[column] for row in rows], column
    assert len({point.key for point in points}) == len(points)


@pytest.mark.parametrize("method", ["random", "latin-hypercube"])
def test_samples_are_those_of_a_plain_loop(method: str):
    sampling = {"method": method, "points": 30, "seed": 5, "for_each": ["archs"]}
    asked = spec(**SPECS["machines"] | {"tokens": {"from": 1, "to": 20}}, sampling=sampling)
    sampled = {name: values for name, values in asked.dimensions().items() if name != "archs"}
    draw, samples = random.Random(5), []
    if method == "random":
        while len(samples) < 30:
            values = [draw.choice(values) for values in sampled.values()]
            choice = dict(zip(sampled, values, strict=True))
            if choice not in samples and one_by_one(asked, [choice | {"archs": arch} for arch in asked.archs]):
                samples.append(choice)
    else:
        indices = latin_hypercube({name: len(values) for name, values in sampled.items()}, 30, 5)
        samples = [{name: sampled[name][indices[name][row]] for name in sampled} for row in range(30)]
    points = one_by_one(asked, [sample | {"archs": arch} for sample in samples for arch in asked.archs])
    assert asked.points() == points
    assert 30 < len(points) < 90


def test_more_constants_than_numbers_have_room_for():
    sampling = {"method": "latin-hypercube", "points": 40, "for_each": ["archs"]}
    asked = spec(mantissa_bits=7, uncertainty={"values": 1001}, sampling=sampling)
    stream = asked.stream()
    keys = stream.block(stream.numbers()).key_characters()
    assert [bytes(key).decode() for key in keys] == [point.key for point in asked.points()]
    assert len(np.unique(keys, axis=0)) == 120


def test_parts_of_a_search_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("anda_codesign.experiments.sweep.store.PARTS_LIMIT", 3)
    store = SweepStore(tmp_path)
    for index in range(5):
        store.append([{"key": f"{index:024x}", "cycles": index}])
    rows = store.finished()
    (merged,) = tmp_path.glob("part-*.parquet")
    assert pq.read_table(merged)["cycles"].to_pylist() == sorted(rows["cycles"]) == [0, 1, 2, 3, 4]
    assert store.finished().equals(rows)


COVERED: dict[str, dict[str, Any]] = {
    "sizes": {
        "mantissa_bits": [4, 9], "objectives": ["energy", "latency"], "tokens": [16, 300], "idle": "zero",
        "architecture": {
            "activation_buffer.capacity": ["24 KiB", "1 MiB"], "array.columns": [8, 32], "clock": "300 MHz",
            "processing_element.lanes": 32,
        },
        "technology": {"dram.bandwidth": [8, 256.5], "elements.anda.power": 0.4, "elements.anda.power_idle": [0.1, 0.2]},
    },
    "formats": {
        "precisions": "7,5,6,6", "weights": ["own", "int8", "spqr-3", "kmeans bits=3"], "technologies": ["paper-16nm", "cacti-16nm"],
        "idle": ["full", "measured"], "clock_gating": [False, True], "dram_background": ["off", "on"],
        "architecture": {"weight_buffer.capacity": ["512 KiB", "1 MiB"], "weights.decode_cycles": [0, 40]},
    },
    "tasks": {
        "models": ["OPT-125M", "LLaMA-7B", "LLaMA3-8B"], "phases": ["prefill", "decode"], "contexts": [0, 64],
        "batches": [1, 8], "tokens": [1, 100], "modules": {"qkv": 7, "o": [5, 6], "u": 7, "d": [6, 7]},
        "architecture": {"partial_sums": ["array", "buffer"]},
    },
    "models from files": {
        "models": [f"tests/workloads/models/configs/{name}" for name in ("Mixtral-8x7B", "DeepSeekMoE-16B", "Gemma-3-1B")],
        "phases": ["prefill", "decode"], "batches": [1, 8], "tokens": 16, "precisions": "7,5,6,6",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", COVERED)
def test_the_compiled_kernel_gives_the_rows_of_simulate(name: str):
    asked = spec(**COVERED[name])
    assert is_covered(asked)
    numbers = asked.stream().numbers()
    numbers = numbers[:: max(1, len(numbers) // 100)]
    compiled, plain = (simulate_chunk(PointChunk(asked, 0, numbers, way)).content for way in (True, False))
    assert pq.read_table(pa.BufferReader(compiled)).equals(pq.read_table(pa.BufferReader(plain)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"array.rows": [16, 32]},
            "architecture anda with array.rows 32: activation_buffer.port: one plane of 32 rows",
        ),
        ({"array.columns": [16, 16.5]}, "architecture anda with array.columns 16.5: array.columns: is 16.5"),
        ({"array.rows": [8, 2000]}, "architecture anda with array.rows 2000: array.rows: is 2000"),
        ({"compressor.lanes": [16, 0]}, "architecture anda with compressor.lanes 0: compressor.lanes: is 0"),
        ({"weights": ["int4", "fp16"]}, "architecture anda with weights fp16: weights: fp16 holds FP16 numbers"),
        ({"activation_buffer.capacity": ["1 MiB", "1"]}, "architecture anda with activation_buffer.capacity 1: "),
    ],
)
def test_machines_that_cannot_be_are_refused_as_a_single_one_is(fields: dict[str, Any], message: str):
    with pytest.raises(InputError) as error:
        spec(archs="anda", mantissa_bits=7, architecture=fields).stream().numbers()
    assert str(error.value).startswith(message)
    (field, (_, bad)) = next(iter(fields.items()))
    with pytest.raises(InputError) as single:
        architecture_with("anda", ((field, bad),))
    assert str(error.value) == str(single.value)


def test_a_large_sweep_is_compiled_and_leaves_out_what_cannot_be_simulated(tmp_path: Path):
    fields: dict[str, Any] = {"archs": "fp-fp", "tokens": {"from": 1, "to": 200}}
    asked = spec(**fields, architecture={"activation_buffer.capacity": ["1 MiB", "64 B"]})
    assert all(chunk.compiled for chunk in chunks(asked, asked.stream().numbers()))
    found = sweep(file=asked, out=tmp_path / "out")
    assert found.frame["tokens"].tolist() == list(range(1, 201))
    reasons = {"one group of a tile of the array takes 128 B": 1, "takes 2048 B": 185}
    for text, count in reasons.items():
        assert count in [number for reason, number in found.left_out.items() if reason.endswith(text)]
    assert sum(found.left_out.values()) == 200
    assert all(reason.startswith("activation_buffer.capacity: 64 B is too small") for reason in found.left_out)
    assert sweep(file=asked, out=tmp_path / "out").left_out == found.left_out
    none = spec(**fields, architecture={"activation_buffer.capacity": "64 B"})
    with pytest.raises(InputError, match=r"^activation_buffer.capacity: 64 B is too small"):
        run_sweep(none, tmp_path / "none")


def test_sums_in_a_buffer_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = spec(
        archs=["fp-fp", "anda"], mantissa_bits=[5, 7], tokens=[1, 2048], objectives=["energy", "edp"],
        architecture={"partial_sums": ["array", "buffer"], "activation_buffer.capacity": ["64 KiB", "1 MiB"]},
    )  # fmt: skip
    plain = run_sweep(asked, tmp_path / "plain")
    monkeypatch.setenv("ANDA_KERNELS", "numba")
    assert all(chunk.compiled for chunk in chunks(asked, asked.stream().numbers()))
    pd.testing.assert_frame_equal(run_sweep(asked, tmp_path / "compiled"), plain)
    best = plain.groupby("partial_sums")["energy_total_pj"].sum()
    assert best["buffer"] < best["array"]


def test_a_large_sweep_gives_the_same_files_on_several_workers_and_by_the_plain_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = spec(
        archs=["fp-fp", "anda"], mantissa_bits=[6, 7], tokens={"from": 1, "to": 100}, derived={"x": "cycles / 2"}
    )
    run_sweep(asked, tmp_path / "one")
    run_sweep(asked, tmp_path / "two", 2)
    monkeypatch.setenv("ANDA_KERNELS", "numpy")
    run_sweep(asked, tmp_path / "plain")
    for name in ("results.parquet", "results.csv"):
        one, *others = ((tmp_path / way / name).read_bytes() for way in ("one", "two", "plain"))
        assert others == [one, one]


@pytest.mark.parametrize("route", ["weights", "architecture.weights", "weights of an architecture"])
def test_a_changed_file_is_another_sweep(tmp_path: Path, route: str):
    """By whatever way a weight format's file is named: other keys, another sweep, other rows."""
    weights, machine = tmp_path / "mine.yaml", tmp_path / "machine.yaml"
    text = (ARCHITECTURES / "fp-fp.yaml").read_text()
    machine.write_text(text.replace("weights: int4", f"weights: {weights}"))
    assert str(weights) in machine.read_text()
    fields = {
        "weights": {"archs": "fp-fp", "weights": str(weights)},
        "architecture.weights": {"archs": "fp-fp", "architecture": {"weights": [str(weights)]}},
        "weights of an architecture": {"archs": str(machine)},
    }[route]
    found: list[tuple[str, str, int]] = []
    for name in ("int3", "int8"):
        weights.write_text((WEIGHTS / f"{name}.yaml").read_text())
        asked = spec(**fields)
        point = asked.stream().first
        found.append((point.key, sweep_name(asked, point), int(simulate_points([point])[0]["dram_bytes"])))
    for one, other in zip(*found, strict=True):
        assert one != other


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 60), st.integers(0, 5))
def test_a_latin_hypercube_is_balanced_and_has_no_repeats(lengths: list[int], count: int, seed: int):
    sizes = {f"d{place}": length for place, length in enumerate(lengths)}
    columns = latin_hypercube(sizes, count, seed)
    total = int(np.prod(lengths))
    samples = len(columns["d0"])
    assert samples <= min(count, total)
    assert len(first_of_equal(columns, np.arange(samples))) == samples
    if samples in (count, total):
        for name, size in sizes.items():
            counts = np.bincount(columns[name], minlength=size)
            assert counts.max() - counts.min() <= 1
    if count <= total / 2:
        assert samples == count

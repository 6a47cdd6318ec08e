"""Points as a stream: columns, keys, order and samples are those of points that are made one by one."""

import itertools
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from anda_codesign.experiments.sweep.points import Point
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.experiments.sweep.store import SweepStore
from anda_codesign.formats.documents.schema import check

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
        columns = []
        for values in sampled.values():
            columns.append([values[int((index + draw.random()) * len(values) / 30)] for index in range(30)])
            draw.shuffle(columns[-1])
        samples = [dict(zip(sampled, values, strict=True)) for values in zip(*columns, strict=True)]
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

"""Weight formats of the machine by a registered method: facts of the built-in ones, a user's own, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.plugins import load_plugin, load_plugins
from anda_codesign.formats.weight_registry import weight_quantizer
from anda_codesign.sim import load_architecture, load_weights, simulate
from anda_codesign.sim.config.weights import WeightConfig
from anda_codesign.workloads import Gemm, Precision
from cases import each
from own_weights import FILE

WORK = [Gemm("u", 64, 1024, 256)]
SHARED = {"name", "title", "source", "method"}


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    yield
    load_plugins(())


def load(folder: Path, text: str = FILE) -> None:
    (folder / "my_weights.py").write_text(text)
    load_plugin(folder / "my_weights.py")


def machine(weights: str, **settings: Any):
    return simulate(WORK, "anda", Precision.uniform(7), weights=weights, **settings)


@each("text", ["rtn bits=3", "gptq bits=4 group_size=64", "q4_1", "q8_0"])
def test_integer_groups_take_what_their_packed_bytes_take(text: str):
    name, *words = text.split()
    parameters = {key: int(value) for key, value in (word.split("=") for word in words)}
    w = np.random.default_rng(0).standard_normal((1024, 32), np.float32)
    hessian = () if name != "gptq" else (np.eye(1024),)
    packed = weight_quantizer(name, **parameters).quantize(w, *hessian)
    assert load_weights(text).channel_bits(1024) == pytest.approx(1024 * packed.bits_per_weight_stored)


@each("pair", [("squeezellm bits=3", "squeezellm-3"), ("squeezellm bits=4", "squeezellm-4"), ("spqr bits=3", "spqr-3")])
def test_methods_of_the_papers_are_the_formats_of_the_files(pair: tuple[str, str]):
    method, file = (load_weights(name).model_dump(exclude=SHARED) for name in pair)
    assert method == pytest.approx(file)


def test_a_format_of_ones_own_is_that_of_a_file_with_the_same_facts(tmp_path: Path):
    load(tmp_path)
    named = load_weights("my-weights  bits=3")
    by_hand = WeightConfig(name="x", title="x", source="x", bits=3, group_size=32, scale_bits=8, decode_cycles=2)
    assert named.model_dump(exclude=SHARED) == by_hand.model_dump(exclude=SHARED)
    assert named.name == "my-weights bits=3"
    found, expected = machine("my-weights bits=3"), simulate(WORK, "anda", Precision.uniform(7), weights=by_hand)
    assert (found.cycles, found.dram_bytes) == (expected.cycles, expected.dram_bytes)
    assert found.runs[0].traffic.weights == 256 * (1024 * 3 + 32 * 8)


def test_an_architecture_names_it(tmp_path: Path):
    load(tmp_path)
    (tmp_path / "mine.yaml").write_text("base: anda\nweights: my-weights bits=6\n")
    assert load_architecture(tmp_path / "mine.yaml").weight_digits == 2


@each("level", ["analytical", "events"])
@each("dataflow", ["output-stationary", "weight-stationary", "input-stationary"])
def test_weights_come_no_faster_than_they_are_decoded(tmp_path: Path, level: str, dataflow: str):
    load(tmp_path, FILE.replace('"decode_cycles": 2', '"decode_cycles": 40'))
    slow = machine("my-weights bits=4", level=level, dataflow=dataflow).cycles
    load(tmp_path)
    assert slow > machine("my-weights bits=4", level=level, dataflow=dataflow).cycles
    if dataflow == "output-stationary":
        assert slow >= 16 * 16 * 40 * 4  # tiles of 16 x 16 outputs, 16 groups of 64 channels, 40 cycles each


def test_another_class_of_the_name_is_another_format(tmp_path: Path):
    load(tmp_path)
    before = load_weights("my-weights bits=3")
    load(tmp_path, FILE.replace("GROUP = 32", "GROUP = 64"))
    assert load_weights("my-weights bits=3").group_size == 2 * before.group_size


@each(
    "case",
    [
        (
            "self.bits + 8 / GROUP\n\n    def quantize",
            "self.bits - 1\n\n    def quantize",
            "average_bits of my-weights is 2, less than",
        ),
        ('{"decode_cycles": 2}', '{"scale_bits": 0}', "packs 3.25 bits a weight and says 3"),
        ('{"decode_cycles": 2}', '{"table": 2}', "table: is not a key here"),
        ('{"decode_cycles": 2}', "7", "weight_config of my-weights is 7; return a dict"),
        ('{"decode_cycles": 2}', '{"table_bits": -1}', "table_bits of my-weights is -1"),
        ("group_size = GROUP", "group_size = 0", "group_size of my-weights is 0"),
        ('"codes": pack_codes', '"codes": 0 * pack_codes', "packs bytes that unpack to other weights"),
        ("w = check_weights(w)", "raise SystemError('no')", "cannot quantise and pack a sample"),
        (
            "return self.bits + 8 / GROUP\n\n    def quantize",
            "return 'x'\n\n    def quantize",
            "average_bits of my-weights is 'x'",
        ),
    ],
)
def test_a_format_that_lies_or_fails_is_one_line(tmp_path: Path, case: tuple[str, str, str]):
    right, wrong, reason = case
    assert right in FILE
    load(tmp_path, FILE.replace(right, wrong))
    with pytest.raises(InputError, match=r"^weights: [^\n]*$") as refused:
        load_weights("my-weights bits=3")
    assert reason in str(refused.value)


@each("text", ["my-weights bits=3 bits=4", "my-weights groups=3", "my-weights bits", "integer", "my-packed"])
def test_a_text_that_names_no_format_is_one_line(tmp_path: Path, text: str):
    load(tmp_path, FILE + "\n\nregister(PowerOfTwoWeights)\n")
    with pytest.raises(InputError, match=r"^weights: [^\n]*$"):
        load_weights(text)

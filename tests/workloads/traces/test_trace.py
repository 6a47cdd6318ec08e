import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import MODULES, Decoder, TextBlocks, Trace, capture_trace, load_blocks, synthetic_decoder
from anda_codesign.workloads.inference.operators import to_fp16
from safetensors.numpy import save_file

DECODER = synthetic_decoder()
BLOCKS = TextBlocks(np.random.default_rng(2).integers(0, 256, (2, 40)).astype(np.int32))


@pytest.fixture
def trace() -> Trace:
    return capture_trace(DECODER, BLOCKS, layers=(1,), tokens=16)


def test_activations_are_what_enters_the_gemms(trace: Trace):
    seen: dict[str, np.ndarray] = {}

    def hook(module: str, layer: int, x: np.ndarray) -> np.ndarray:
        if layer == 1:
            seen[module] = to_fp16(x)
        return to_fp16(x)

    DECODER.hidden(BLOCKS.tokens[0, :16], hook)
    for module in MODULES:
        assert trace.activation(1, module).dtype == np.float16
        np.testing.assert_array_equal(trace.activation(1, module), seen[module])


def test_weights_are_those_of_the_decoder(trace: Trace):
    for name in trace.metadata["linears"]:
        ours, theirs = trace.weights(1, name), DECODER.linear(1, name)
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        np.testing.assert_array_equal(ours.scales, theirs.scales)
        assert (ours.group_size, ours.offsets) == (128, None)


def test_metadata(trace: Trace):
    assert trace.metadata == {
        "model": "synthetic",
        "model_sha256": DECODER.sha256,
        "text_sha256": TextBlocks(BLOCKS.tokens[:1, :16]).sha256,
        "layers": [1],
        "tokens": 16,
        "linears": ["q", "k", "v", "o", "gate", "up", "down"],
        "weight_group_size": 128,
        "dtype": "float16",
        "capture_version": 1,
    }


def test_file_round_trip(trace: Trace, tmp_path: Path):
    trace.save(tmp_path / "folder" / "a.safetensors")
    loaded = Trace.load(tmp_path / "folder" / "a.safetensors")
    assert loaded.metadata == trace.metadata
    assert loaded.tensors.keys() == trace.tensors.keys()
    for name, values in trace.tensors.items():
        assert loaded.tensors[name].dtype == values.dtype
        np.testing.assert_array_equal(loaded.tensors[name], values)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.safetensors"]


def test_nothing_is_overwritten(trace: Trace, tmp_path: Path):
    path = tmp_path / "a.safetensors"
    path.write_text("mine")
    message = f"trace: {path} exists and is not overwritten; give another path or remove it"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        trace.save(path)
    assert path.read_text() == "mine"


def test_bad_capture():
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"layers": (0, 2)}, "layers: 2 is not valid; .* from 0 to 1$"),
        ({"layers": ()}, "layers: there are none"),
        ({"layers": (0,), "tokens": 41}, "tokens: 41 is not valid; .* from 1 to 40$"),
        ({"layers": (0,), "tokens": 0}, "tokens: 0 is not valid"),
    )
    for arguments, message in cases:
        with pytest.raises(InputError, match=f"^{message}"):
            capture_trace(DECODER, BLOCKS, **arguments)


def test_arrays_in_any_memory_order_are_written(trace: Trace, tmp_path: Path):
    fortran = Trace(trace.metadata, {name: np.asfortranarray(values) for name, values in trace.tensors.items()})
    fortran.save(tmp_path / "fortran.safetensors")
    loaded = Trace.load(tmp_path / "fortran.safetensors")
    for name, values in trace.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], values)


def test_what_was_not_captured(trace: Trace):
    with pytest.raises(InputError, match=r"^layer: 0 was not captured; the trace holds 1$"):
        trace.activation(0, "qkv")
    with pytest.raises(InputError, match=r"^layer: 0 was not captured; the trace holds 1$"):
        trace.weights(0, "q")
    with pytest.raises(InputError, match=r"^module: 'q' .* qkv, o, u, d$"):
        trace.activation(1, "q")
    message = "name: 'fc1' was not captured; the trace holds q, k, v, o, gate, up, down"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        trace.weights(1, "fc1")


def saved(trace: Trace, path: Path, **changes: Any) -> Path:
    """A file with some tensors replaced (None: left out) and some metadata."""
    metadata = {**trace.metadata, **changes.pop("metadata", {})}
    tensors = {name: values for name, values in {**trace.tensors, **changes}.items() if values is not None}
    save_file(tensors, path, metadata={"anda_trace": json.dumps(metadata)})
    return path


def rejects(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Trace.load(path)


def test_a_trace_without_weights(trace: Trace, tmp_path: Path):
    tensors = {name: tensor for name, tensor in trace.tensors.items() if name.startswith("activations")}
    Trace({**trace.metadata, "linears": []}, tensors).save(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"^name: 'q' was not captured; the trace holds no weights"):
        Trace.load(tmp_path / "x.safetensors").first_weights(trace.metadata["layers"][0], "qkv")


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_values_that_are_not_finite(trace: Trace, tmp_path: Path, value: float, text: str):
    damaged = trace.activation(1, "d").copy()
    damaged[3, 5] = value
    path = saved(trace, tmp_path / "a", **{"activations.1.d": damaged})
    rejects(path, f"trace: {path}: activations.1.d holds {text} at (3, 5); capture it again")


def test_scale_that_is_not_finite(trace: Trace, tmp_path: Path):
    damaged = trace.tensors["weights.1.q.scales"].copy()
    damaged[0, 2] = np.nan
    path = saved(trace, tmp_path / "a", **{"weights.1.q.scales": damaged})
    rejects(path, f"trace: {path}: weights.1.q: scales: element (0, 2) is nan; give finite values")


def test_wrong_dtype(trace: Trace, tmp_path: Path):
    path = saved(trace, tmp_path / "a", **{"activations.1.o": trace.activation(1, "o").astype(np.float32)})
    rejects(path, f"trace: {path}: activations.1.o is float32 [16, 128]; give float16 [tokens, channels]")


def test_missing_tensor(trace: Trace, tmp_path: Path):
    path = saved(trace, tmp_path / "a", **{"activations.1.o": None})
    rejects(path, f"trace: {path} lacks the entry 'activations.1.o'; capture it again with `anda trace capture`")


def test_other_version(trace: Trace, tmp_path: Path):
    path = saved(trace, tmp_path / "a", metadata={"capture_version": 2})
    rejects(path, f"trace: {path} has capture version 2, not 1; capture it again with `anda trace capture`")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("layers", 3),
        ("layers", [True]),
        ("layers", []),
        ("layers", [-1]),
        ("layers", [1 << 60]),
        ("layers", None),
        ("linears", "qkv"),
        ("linears", ["fc1"]),
        ("tokens", "16"),
        ("tokens", 16.0),
        ("tokens", float("nan")),
        ("weight_group_size", "128"),
        ("weight_group_size", -1),
        ("model", None),
        ("dtype", "float32"),
    ],
)
def test_metadata_are_checked_as_a_whole(trace: Trace, tmp_path: Path, entry: str, value: Any):
    path = saved(trace, tmp_path / "a", metadata={entry: value})
    with pytest.raises(InputError, match=rf"^trace: {re.escape(str(path))}: {entry}.*: is "):
        Trace.load(path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "{", "[" * 100_000, '{"a": 1, "a": 2}'])
def test_metadata_that_are_none(tmp_path: Path, text: str):
    path = tmp_path / "a"
    save_file({"x": np.zeros(3, np.float32)}, path, metadata={"anda_trace": text})
    with pytest.raises(InputError, match=rf"^trace: {re.escape(str(path))} (is not a trace|has capture version)"):
        Trace.load(path)


def test_tensors_that_do_not_fit_each_other(trace: Trace, tmp_path: Path):
    short = np.ascontiguousarray(trace.activation(1, "o")[:-1])
    path = saved(trace, tmp_path / "a", **{"activations.1.o": short})
    with pytest.raises(InputError, match=r"activations.1.o has 15 tokens, the metadata say 16; capture it again"):
        Trace.load(path)
    narrow = np.ascontiguousarray(trace.activation(1, "o")[:, :64])
    path = saved(trace, tmp_path / "b", **{"activations.1.o": narrow})
    with pytest.raises(InputError, match=r"weights.1.o: have 128 input channels, the activations of o 64; capture"):
        Trace.load(path)


def test_missing_file(tmp_path: Path):
    path = tmp_path / "none"
    rejects(path, f"trace: {path} does not exist; capture one with `anda trace capture`")


def test_another_safetensors_file(tmp_path: Path):
    path = tmp_path / "a"
    save_file({"x": np.zeros(3, np.float32)}, path)
    rejects(path, f"trace: {path} is not a trace of this program; capture one with `anda trace capture`")


def test_truncated_file(trace: Trace, tmp_path: Path):
    for kept in [0.0, 0.001, 0.5, 0.999]:
        path = saved(trace, tmp_path / "a")
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * kept)])
        pattern = rf"^trace: {re.escape(str(path))} is truncated or no safetensors file \(.*\); capture it again$"
        with pytest.raises(InputError, match=pattern):
            Trace.load(path)


@pytest.mark.model
def test_smollm2_trace(smollm2: Decoder, tmp_path: Path):
    blocks = load_blocks(smollm2.tokenizer, tokens=64, blocks=1)
    path = tmp_path / "a.safetensors"
    capture_trace(smollm2, blocks, layers=(0, 2), tokens=8).save(path)
    trace = Trace.load(path)
    assert {module: trace.activation(2, module).shape for module in MODULES} == {
        "qkv": (8, 576),
        "o": (8, 576),
        "u": (8, 576),
        "d": (8, 1536),
    }
    down = trace.weights(2, "down")
    np.testing.assert_array_equal(down.dequantize(), smollm2.linear(2, "down").dequantize())
    assert (down.codes.min(), down.codes.max(), down.group_size) == (0, 15, 32)


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.99])
def test_a_changed_bit_is_noticed(trace: Trace, tmp_path: Path, place: float):
    path = tmp_path / "trace.safetensors"
    trace.save(path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^trace: {re.escape(str(path))}"):
        Trace.load(path)

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats.documents.tensor_file import load_tensors, open_tensors, read_tensors
from safetensors.numpy import save

TENSORS = {"a": np.arange(8, dtype=np.float32), "b": np.ones(8, np.float16), "c": np.zeros((2, 0), np.int8)}
DATA = save(TENSORS, {"entry": "text"})


def test_round_trip(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(DATA)
    for metadata, tensors in (read_tensors(path), load_tensors(DATA)):
        assert metadata == {"entry": "text"}
        assert {name: (a.dtype, a.shape) for name, a in tensors.items()} == {
            name: (a.dtype, a.shape) for name, a in TENSORS.items()
        }
        np.testing.assert_array_equal(tensors["a"], TENSORS["a"])


def other(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another header."""
    size = int.from_bytes(DATA[:8], "little")
    header = json.loads(DATA[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + DATA[8 + size :]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["a"].update(data_offsets=[32, 0]),
        lambda h: h["a"].update(data_offsets=[0, 28]),
        lambda h: h["a"].update(data_offsets=[0, 28], shape=[7]),
        lambda h: h["b"].update(data_offsets=[16, 32]),
        lambda h: h["b"].update(data_offsets=[-16, 0]),
        lambda h: h["b"].update(data_offsets=[32, 1 << 60], shape=[1 << 59]),
        lambda h: h["a"].update(dtype="F16"),
        lambda h: h["a"].update(dtype="F99"),
        lambda h: h["a"].update(shape=[8.0]),
        lambda h: h["a"].update(shape=[1 << 60, 1 << 60]),
        lambda h: h.pop("a"),
        lambda h: h.update(x=h.pop("a")),
        lambda h: h.update(a=3),
    ],
)
def test_sizes_order_and_types_of_the_header(tmp_path: Path, change: Callable[[dict[str, Any]], Any]):
    """Offsets that are swapped, short, overlapping, negative or past the end, and wrong types, are no tensors."""
    path = tmp_path / "a"
    path.write_bytes(other(change))
    for read in (lambda: read_tensors(path), lambda: load_tensors(path.read_bytes())):
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            read()


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"format": "mlx"}])
def test_tensors_with_exchanged_places(tmp_path: Path, metadata: dict[str, str]):
    """Refused, but for a writer that is known not to keep the order of the header."""
    path = tmp_path / "a"
    path.write_bytes(other(lambda h: h.update(__metadata__=metadata, a=h["b"], b=h["a"])))
    if metadata == {"format": "mlx"}:
        np.testing.assert_array_equal(read_tensors(path)[1]["b"], TENSORS["a"])
    else:
        for read in (open_tensors, read_tensors, lambda path: load_tensors(path.read_bytes())):
            with pytest.raises(ValueError, match="not in the order of its header"):
                read(path)

"""Peak memory of encoder, decoder and memory image: at most 1.5 times input plus output; images can be streamed."""

import io
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor

Result = TypeVar("Result")
CASES = [(64, 4096, 7, 0), (64, 4100, 7, 0), (8, 4096, 7, 0), (128, 4100, 16, 0), (64, 4095, 7, 4), (64, 5, 7, 0)]
"""Group size, channels, mantissa bits and rows of a plane mask."""


def peak(call: Callable[[], Result]) -> tuple[Result, int]:
    tracemalloc.start()
    result = call()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, found


def size(tensor: AndaTensor) -> int:
    return tensor.signs.nbytes + tensor.planes.nbytes + tensor.exponents.nbytes


@pytest.mark.parametrize(("group_size", "channels", "bits", "mask_rows"), CASES)
def test_peak_memory(group_size: int, channels: int, bits: int, mask_rows: int):
    x = np.random.default_rng(0).standard_normal((16_000_000 // channels, channels), np.float32).astype(np.float16)
    fmt = AndaFormat(mantissa_bits=bits, group_size=group_size, mask_rows=mask_rows)
    fmt.encode(x[:64]).decode()  # compiles the kernels
    tensor, encoding = peak(lambda: fmt.encode(x))
    decoded, decoding = peak(tensor.decode)
    data, writing = peak(tensor.to_bytes)
    again, reading = peak(lambda: AndaTensor.from_bytes(data))
    assert again.decode().tobytes() == decoded.tobytes()
    for given, made, found in (
        (x.nbytes, size(tensor), encoding),
        (size(tensor), decoded.nbytes, decoding),
        (size(tensor), len(data), writing),
        (len(data), size(tensor), reading),
    ):
        assert given + found <= 1.5 * (given + made)


def test_an_image_is_written_part_by_part():
    class Counter(io.RawIOBase):
        largest = total = 0

        def write(self, data: Any) -> int:
            self.largest, self.total = max(self.largest, len(data)), self.total + len(data)
            return len(data)

    tensor = AndaFormat(mantissa_bits=7).encode(np.ones((4096, 4096), np.float16))
    counter = Counter()
    _, found = peak(lambda: tensor.write(counter))  # type: ignore[arg-type]
    assert counter.total == len(tensor.to_bytes())
    assert counter.largest < counter.total / 10
    assert found < counter.total / 2

"""The memory image: its bytes, and what happens to damaged ones."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, InputError
from anda_codesign.formats.anda import serialization
from anda_codesign.formats.anda.format import GROUP_SIZES
from cases import each


def example() -> AndaTensor:
    x = np.array([[1.75, -1, 0.5, -0.0, 0, 0, 0, 1], [2, -2, 0, 0, 0, 0, 0, 0]], np.float16)
    return AndaFormat(3, group_size=8).encode(x)


def sealed(body: bytes) -> bytes:
    """A body with its checksum, so that a reader must notice what is wrong with the body itself."""
    return body + struct.pack("<I", zlib.crc32(body))


def test_bytes() -> None:
    header = b"ANDA" + bytes([1, 0, 3, 8, 0, 0, 0, 0]) + struct.pack("<IQQ", 2, 2, 8)
    mantissa_memory = bytes([0b00001010, 0b10000011, 0b00000101, 0b00000001, 0b00000010, 0b00000011, 0, 0])
    exponent_memory = bytes([15 | (16 & 7) << 5, 16 >> 3])
    assert example().to_bytes() == sealed(header + mantissa_memory + exponent_memory)


@each("group_size", GROUP_SIZES)
@each("mantissa_bits", [1, 8, 11, 16])
@pytest.mark.parametrize("shape", [(5,), (3, 200), (2, 2, 128), (0, 64)])
def test_round_trip(shape: tuple[int, ...], mantissa_bits: int, group_size: int) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
    tensor = AndaFormat(mantissa_bits, group_size=group_size).encode(x)
    data = tensor.to_bytes()
    header_and_checksum = 16 + 8 * len(shape) + 4
    assert len(data) == header_and_checksum + -(
        -tensor.exponents.size * round(group_size * tensor.format.bits_per_value) // 8
    )
    again = AndaTensor.from_bytes(data)
    assert (again.format, again.shape, again.saturated) == (tensor.format, tensor.shape, False)
    for name in ("signs", "planes", "exponents"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tensor, name), strict=True)


@pytest.mark.parametrize(
    "options",
    [{"rounding": "nearest"}, {"nonfinite": "saturate"}, {"reconstruct": "midpoint"}, {"mask_rows": 16}],
)
def test_keeps_the_options(options: dict[str, Any]) -> None:
    fmt = AndaFormat(7, **options)
    assert AndaTensor.from_bytes(fmt.encode(np.ones(3, np.float16)).to_bytes()).format == fmt


def test_codes_of_the_options() -> None:
    """Files keep their meaning: the codes are these numbers for ever."""
    assert serialization.ROUNDING_CODES == {"truncate": 0, "nearest": 1}
    assert serialization.NONFINITE_CODES == {"raise": 0, "saturate": 1}
    assert serialization.RECONSTRUCT_CODES == {"truncate": 0, "midpoint": 1}
    fmt = AndaFormat(7, rounding="nearest", nonfinite="saturate", reconstruct="midpoint")
    assert fmt.encode(np.ones(3, np.float16)).to_bytes()[8:11] == bytes([1, 1, 1])


@pytest.mark.parametrize("mantissa_bits", [1, 3, 16])
@pytest.mark.parametrize("shape", [(5,), (2, 5, 200), (0, 64)])
def test_plane_masks_are_stored(shape: tuple[int, ...], mantissa_bits: int) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
    plain, masked = (AndaFormat(mantissa_bits, mask_rows=rows).encode(x) for rows in (0, 4))
    blocks = -(-plain.exponents[..., 0].size // 4)
    mask_bytes = -(-blocks * plain.exponents.shape[-1] * (mantissa_bits - 1) // 8)
    assert len(masked.to_bytes()) == len(plain.to_bytes()) + 1 + mask_bytes
    again = AndaTensor.from_bytes(masked.to_bytes())
    assert again.format == masked.format
    np.testing.assert_array_equal(again.planes, plain.planes)


def test_plane_masks_by_hand() -> None:
    tensor = AndaFormat(3, group_size=8, mask_rows=2).encode(example().decode())
    assert tensor.to_bytes()[-6:-4] == bytes([16 >> 3, 0b11])
    assert AndaFormat(3, group_size=8, mask_rows=2).bits_per_value == 4 + (5 + 2 / 2) / 8
    damaged = sealed(tensor.to_bytes()[:-5] + b"\1")
    with pytest.raises(InputError) as caught:
        AndaTensor.from_bytes(damaged)
    assert str(caught.value).startswith("data: holds a plane mask that its planes do not have")


def test_keeps_the_sticky_flag() -> None:
    tensor = AndaFormat(7, nonfinite="saturate").encode(np.array([np.inf], np.float16))
    assert AndaTensor.from_bytes(tensor.to_bytes()).saturated


def test_every_flipped_bit_is_noticed() -> None:
    data = example().to_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError, match=r"^data: .*(give|write)"):
            AndaTensor.from_bytes(bytes(damaged))


def test_every_truncation_is_noticed() -> None:
    data = example().to_bytes()
    for length in range(len(data)):
        with pytest.raises(InputError, match=r"^data: .*(give|write)"):
            AndaTensor.from_bytes(data[:length])


def crafted(data: bytes, *shape: int) -> bytes:
    """An image without memories, of this shape."""
    return sealed(data[:12] + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "data: starts with b'', not b'ANDA'; give the bytes that to_bytes() wrote"),
        (lambda data: b"Q" + data, "data: starts with b'QAND', not b'ANDA'"),
        (lambda data: data[:9], "data: has 9 bytes, its header needs 16"),
        (lambda data: data[:20], "data: its header is truncated or damaged"),
        (
            lambda data: data[:4] + b"\3" + data[5:],
            "data: has version 3, this program reads versions 1 and 2",
        ),
        (lambda data: data[:-1], "data: has 45 bytes, its header needs 46"),
        (lambda data: data + b"\0", "data: has 47 bytes, its header needs 46"),
        (lambda data: data[:-5] + b"\xff" + data[-4:], "data: does not match its checksum"),
        (lambda data: sealed(data[:6] + b"\0" + data[7:34] + data[40:42]), "mantissa_bits: 0 "),
        (
            lambda data: sealed(data[:8] + b"\7" + data[9:-4]),
            "data: has the option code 7, which does not exist",
        ),
        (lambda data: sealed(data[:-6] + b"\0\0"), "data: holds a shared exponent outside 1..30"),
        (lambda data: crafted(data, *[1] * 64, 0), "data: its header is truncated or damaged"),
        (lambda data: crafted(data, 1 << 60, 0, 1), "data: has a header that no tensor fits"),
        (lambda data: crafted(data, 1 << 60, 1 << 60, 0), "data: has a header that no tensor fits"),
        (lambda data: crafted(data, *[(1 << 64) - 1] * 300), "data: its header is truncated or damaged"),
        (crafted, "data: its header is truncated or damaged"),
    ],
)
def test_names_the_damage(damage: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        AndaTensor.from_bytes(damage(example().to_bytes()))
    assert str(caught.value).startswith(message)

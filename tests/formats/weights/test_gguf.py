import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.gemm.packed import weight_gemm
from anda_codesign.formats.weight_registry import read_weights, weight_quantizer
from anda_codesign.formats.weights.gguf import Q4_1, Q8_0, from_blocks, to_blocks
from anda_codesign.formats.weights.grouped_int import RoundToNearest
from gguf import GGMLQuantizationType, quants

from ..gemm.packed_gemm_reference import weight_gemm_reference

TYPES = {"Q4_1": Q4_1, "Q8_0": Q8_0}


def matrices() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    plain = rng.normal(0, 0.05, (96, 24)).astype(np.float32)
    outlier = plain.copy()
    outlier[5, 3] = 40
    zeros = plain.copy()
    zeros[32:64] = 0
    constant = plain.copy()
    constant[:, 1] = 0.25
    ties = (rng.integers(-30, 31, (64, 8)) / 4).astype(np.float32)
    halves = np.arange(-16, 16, dtype=np.float32) + np.float32(0.5)
    below = np.nextafter(halves, np.float32(0))  # 0.49999997 of a step and the like, which round down
    near_ties = np.stack([halves, below, np.nextafter(halves, 2 * halves)], axis=1)
    near_ties[0] = 127  # Q8_0 has a step of 1
    return {
        "near ties": near_ties,
        "plain": plain,
        "outlier": outlier,
        "zeros": zeros,
        "constant": constant,
        "ties": ties,
    }


@pytest.mark.parametrize("kind", list(matrices()))
@pytest.mark.parametrize("block_type", list(TYPES))
def test_bytes_and_weights_equal_those_of_gguf(block_type: str, kind: str):
    w = matrices()[kind]
    packed = TYPES[block_type]().quantize(w)
    expected = quants.quantize(np.ascontiguousarray(w.T), GGMLQuantizationType[block_type])
    assert np.array_equal(to_blocks(packed), expected)
    decoded = quants.dequantize(expected, GGMLQuantizationType[block_type])
    assert np.array_equal(packed.decode().T, decoded)


@pytest.mark.parametrize("block_type", list(TYPES))
def test_every_byte_of_a_block_is_read_and_written(block_type: str):
    rng = np.random.default_rng(3)
    size = {"Q4_1": 20, "Q8_0": 34}[block_type]
    data = rng.integers(0, 256, (64, 3 * size)).astype(np.uint8)
    blocks = data.reshape(64, 3, size)
    blocks[..., 1] &= 0xBF  # scales and offsets are finite
    if block_type == "Q4_1":
        blocks[..., 3] &= 0xBF
    packed = from_blocks(data, block_type)
    assert np.array_equal(to_blocks(packed), data)
    expected = quants.dequantize(data, GGMLQuantizationType[block_type])
    assert np.array_equal(packed.decode().T, expected)


@pytest.mark.parametrize(("block_type", "bits"), [("Q4_1", 5.0), ("Q8_0", 8.5)])
def test_bits_by_formula_and_by_bytes(block_type: str, bits: float):
    quantizer = weight_quantizer(block_type.lower())
    packed = quantizer.quantize(matrices()["plain"])
    assert quantizer.average_bits() == packed.bits_per_weight == packed.bits_per_weight_stored == bits
    assert 8 * to_blocks(packed).size / packed.codes.size == bits
    assert np.array_equal(read_weights(packed.to_bytes()).decode(), packed.decode())


@pytest.mark.parametrize("block_type", list(TYPES))
def test_gemm_is_exact(block_type: str):
    rng = np.random.default_rng(5)
    x = AndaFormat(mantissa_bits=7).encode(rng.normal(size=(3, 96)).astype(np.float16))
    packed = TYPES[block_type]().quantize(matrices()["outlier"])
    result, expected = weight_gemm(x, packed), weight_gemm_reference(x, packed)
    assert np.array_equal(result.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Q4_1().quantize(np.zeros((48, 2), np.float32)), "w: has 48 input channels"),
        (lambda: Q8_0().quantize(np.zeros((32, 2)), np.ones(1)), "statistic: is not used"),
        (lambda: from_blocks(np.zeros((2, 20), np.uint8), "Q5_K"), "block_type: 'Q5_K' "),
        (lambda: from_blocks(np.zeros((2, 21), np.uint8), "Q4_1"), "data: is uint8 [2, 21]"),
        (lambda: to_blocks(RoundToNearest(bits=4).quantize(np.ones((128, 2)))), "w: does not fit a GGUF block"),
    ],
)  # fmt: skip
def test_bad_input(call, message: str):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(message)


def test_a_q4_1_block_by_hand():
    block = np.zeros(20, np.uint8)
    block[:4] = np.array([0.5, -3.0], np.float16).view(np.uint8)
    block[4:] = np.arange(16) | (15 - np.arange(16)) << 4
    packed = from_blocks(block[None], "Q4_1")
    assert packed.codes[:, 0].tolist() == [*range(16), *range(15, -1, -1)]
    assert packed.offsets is not None
    assert (packed.scales.item(), packed.offsets.item()) == (0.5, -3.0)

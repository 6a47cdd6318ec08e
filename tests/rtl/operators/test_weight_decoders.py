# amaranth: UnusedElaboratable=no
"""The decoders of compressed weights against the formats' own decoding."""

import warnings
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weight_registry import weight_quantizer
from anda_codesign.formats.weights.spqr.statistics import decode_affine
from anda_codesign.rtl import run_streams
from anda_codesign.rtl.operators.weight_decoders import SpQRDecoder, SqueezeLLMDecoder
from anda_codesign.rtl.simulation.packing import pack, unpack
from latencies import BILEVEL_CYCLES, LOOK_UP_CYCLES
from numpy.typing import NDArray


def random_pause(seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(997) < 0.5).tolist()


def halves(payloads: list[int], lanes: int) -> NDArray[np.uint16]:
    return unpack(payloads, 16, lanes).astype(np.uint16)


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("port", ["", "tables", "codes", "weights"])
def test_squeezellm_decodes_what_the_quantiser_made(bits: int, port: str) -> None:
    rng = np.random.default_rng(bits)
    w = rng.standard_normal((32, 5)).astype(np.float32)
    packed = weight_quantizer("squeezellm", bits=bits).quantize(w, rng.random((32, 5)))
    codes = packed.codes.T.reshape(5 * 4, 8).astype(np.int64)
    last = (np.arange(20) % 4 == 3).astype(int)
    inputs = {
        "tables": pack(packed.tables.view(np.uint16).astype(np.int64), 16),
        "codes": [word | int(end) << 8 * bits for word, end in zip(pack(codes, bits), last, strict=True)],
    }
    pauses = {port: random_pause(1)} if port else {}
    run = run_streams(SqueezeLLMDecoder(lanes=8, bits=bits), inputs, {"weights": 20}, pauses=pauses)
    expected = packed.dense().T.reshape(20, 8).view(np.uint16)
    assert halves(run.transfers["weights"].payloads, 8).tolist() == expected.tolist()
    if not port:
        assert run.transfers["codes"].cycles == list(range(1, 21))
        assert run.transfers["weights"].cycles[0] == 1 + LOOK_UP_CYCLES


def spqr_words(
    codes: NDArray[np.integer], pairs: NDArray[np.integer], numbers: NDArray[np.float16], bits: int, width: int
) -> list[int]:
    """Payloads of codes ``[groups, lanes]``, statistics' codes ``[groups, 2]``, second level ``[groups, 4]``."""
    lanes = codes.shape[1]
    fields = (pack(pairs, width), pack(codes, bits), pack(numbers.view(np.uint16).astype(np.int64), 16))
    return [a | b << 2 * width | c << 2 * width + bits * lanes for a, b, c in zip(*fields, strict=True)]


@pytest.mark.parametrize("port", ["", "groups", "weights"])
def test_spqr_decodes_what_the_quantiser_made(port: str) -> None:
    rng = np.random.default_rng(1)
    w = (rng.standard_normal((32, 32)) * 0.02).astype(np.float32)
    packed = weight_quantizer("spqr").quantize(w, np.eye(32))
    scales, zeros = packed.scales, packed.zeros
    assert scales.codes is not None and zeros.codes is not None
    levels = np.stack([scales.scales, zeros.scales, scales.zeros, zeros.zeros], axis=-1)
    numbers = np.repeat(levels, 16, axis=1).reshape(-1, 4)
    pairs = np.stack([scales.codes, zeros.codes], axis=-1).reshape(-1, 2).astype(np.int64)
    codes = packed.codes.reshape(2, 16, 32).swapaxes(1, 2).reshape(64, 16).astype(np.int64)
    pauses = {port: random_pause(2)} if port else {}
    words = spqr_words(codes, pairs, numbers, 3, 3)
    run = run_streams(SpQRDecoder(), {"groups": words}, {"weights": 64}, pauses=pauses)
    stored = packed.dense() if packed.permutation is None else packed.dense()[packed.permutation]
    expected = stored.reshape(2, 16, 32).swapaxes(1, 2).reshape(64, 16).view(np.uint16)
    assert halves(run.transfers["weights"].payloads, 16).tolist() == expected.tolist()
    if not port:
        assert run.transfers["weights"].cycles == list(range(BILEVEL_CYCLES, BILEVEL_CYCLES + 64))


@pytest.mark.parametrize(("bits", "statistics_bits"), [(2, 2), (3, 3), (4, 5)])
def test_spqr_on_any_numbers(bits: int, statistics_bits: int) -> None:
    """Rounding, subnormals, cancellation and -0, wherever FP16 arithmetic stays finite."""
    rng = np.random.default_rng(bits)
    groups = 150
    patterns = rng.integers(0, 0x6000, (groups, 4)) | rng.integers(0, 2, (groups, 4)) << 15
    close = (rng.integers(-80, 80, (groups, 4)) / 16).astype(np.float16)
    numbers = np.where(rng.random((groups, 4)) < 0.5, close, patterns.astype(np.uint16).view(np.float16))
    codes = rng.integers(0, 1 << bits, (groups, 4))
    pairs = rng.integers(0, 1 << statistics_bits, (groups, 2))
    with warnings.catch_warnings(action="ignore"):
        scale = decode_affine(pairs[:, 0].astype(np.uint8), numbers[:, 0], numbers[:, 2])
        zero = decode_affine(pairs[:, 1].astype(np.uint8), numbers[:, 1], numbers[:, 3])
        weights = decode_affine(codes.astype(np.uint8), scale[:, None], zero[:, None])
    finite = np.isfinite(weights).all(axis=1) & np.isfinite(scale) & np.isfinite(zero)
    assert finite.sum() > 80
    words = spqr_words(codes[finite], pairs[finite], numbers[finite], bits, statistics_bits)
    decoder = SpQRDecoder(lanes=4, bits=bits, statistics_bits=statistics_bits)
    run = run_streams(decoder, {"groups": words}, {"weights": len(words)})
    assert halves(run.transfers["weights"].payloads, 4).tolist() == weights[finite].view(np.uint16).tolist()


@pytest.mark.parametrize(
    ("decoder", "parameters", "message"),
    [
        (SqueezeLLMDecoder, {"bits": 5}, "bits: 5"),
        (SqueezeLLMDecoder, {"lanes": 0}, "lanes: 0"),
        (SpQRDecoder, {"lanes": 1}, "lanes: 1"),
        (SpQRDecoder, {"bits": 8}, "bits: 8"),
        (SpQRDecoder, {"statistics_bits": 16}, "statistics_bits: 16"),
    ],
)
def test_illegal_parameters(decoder: Any, parameters: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        decoder(**parameters)
    assert str(error.value).startswith(message)

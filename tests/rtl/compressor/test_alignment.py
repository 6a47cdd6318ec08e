# amaranth: UnusedElaboratable=no
"""The parts of a compressor lane, each on its own."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from anda_codesign.formats import InputError
from anda_codesign.formats.numeric.alignment import align
from anda_codesign.formats.numeric.fp16 import MAX_PATTERN, split_fp16
from anda_codesign.rtl import run_vectors
from anda_codesign.rtl.compressor.alignment import FieldExtractor, MantissaAligner, MaximumExponent
from anda_codesign.rtl.simulation.packing import pack


def test_the_fields_of_every_half() -> None:
    patterns = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    nonfinite = (patterns & 0x7C00) == 0x7C00
    fields = split_fp16(np.where(nonfinite, MAX_PATTERN | patterns & np.uint16(0x8000), patterns))
    outputs = run_vectors(
        FieldExtractor(), {"value": patterns.tolist()}, ["sign", "exponent", "significand", "nonfinite"]
    )
    assert outputs == {
        "sign": fields.signs.astype(int).tolist(),
        "exponent": fields.exponents.tolist(),
        "significand": fields.significands.tolist(),
        "nonfinite": nonfinite.astype(int).tolist(),
    }


@pytest.mark.parametrize("lanes", [1, 2, 5, 64])
def test_the_largest_exponent(lanes: int) -> None:
    exponents = np.random.default_rng(lanes).integers(1, 31, (300, lanes))
    exponents[:31] = np.arange(31)[:, None]
    outputs = run_vectors(MaximumExponent(lanes=lanes), {"exponents": pack(exponents, 5)}, ["largest"])
    assert outputs["largest"] == exponents.max(axis=1).tolist()


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("mantissa_bits", [1, 4, 10, 11, 16])
def test_an_aligner_sends_the_mantissa(mantissa_bits: int, nearest: bool) -> None:
    """Every distance to the shared exponent; the next element is taken with the last bit."""
    rng = np.random.default_rng(mantissa_bits)
    distances = np.repeat(np.arange(30), 3)
    significands = rng.integers(1024, 2048, len(distances))
    significands[::3] = 2047
    mantissas: list[int] = []
    aligner = MantissaAligner(nearest=nearest)

    async def bench(context: Any) -> None:
        context.set(aligner.shared_exponent, 30)
        if nearest:
            context.set(aligner.mantissa_bits, mantissa_bits)
        context.set(aligner.load, 1)
        for index, distance in enumerate(distances):
            context.set(aligner.exponent, 30 - int(distance))
            context.set(aligner.significand, int(significands[index]))
            await context.tick()
            assert context.get(aligner.own_exponent) == 30 - distance
            context.set(aligner.load, 0)
            context.set(aligner.shift, 0)
            context.set(aligner.align, 1)
            await context.tick()
            context.set(aligner.align, 0)
            context.set(aligner.shift, 1)
            bits = []
            for bit in range(mantissa_bits):
                bits.append(context.get(aligner.bit))
                context.set(aligner.load, bit == mantissa_bits - 1)
                if bit < mantissa_bits - 1:
                    await context.tick()
            mantissas.append(int("".join(map(str, bits)), 2))

    simulator = Simulator(aligner)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    rounding = "nearest" if nearest else "truncate"
    expected = align(significands.astype(np.uint16), distances.astype(np.uint8), mantissa_bits, rounding)
    assert mantissas == expected.tolist()


def test_illegal_parameters() -> None:
    with pytest.raises(InputError) as error:
        MaximumExponent(lanes=129)
    assert str(error.value).startswith("lanes: 129")
    with pytest.raises(InputError) as error:
        MantissaAligner(max_mantissa_bits=17)
    assert str(error.value).startswith("max_mantissa_bits: 17")
